import type { AddressRule } from "@serverless-harness/kit/address-rule";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { Validation } from "@serverless-harness/kit/validate";

/** What can be told, as messages name it. */
export const EVENT_NAMES = ["leaf.gate_opened", "leaf.ended"] as const;
export type EventName = (typeof EVENT_NAMES)[number];

const MAX_URL_BYTES = 2048;

/**
 * Check an address that messages are sent to, as far as can be seen without asking a name server; what its name leads to is looked at with each
 * delivery. Plain http is for hosts that an operator allowed by name or network.
 */
export function checkTarget(v: Validation, field: string, text: string, rule: AddressRule): void {
  const url = URL.canParse(text) && Buffer.byteLength(text) <= MAX_URL_BYTES ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    v.fail(field, `must be an https address of at most ${MAX_URL_BYTES} bytes`);
    return;
  }
  v.check(field, url.username === "" && url.password === "", "must hold no user and password: messages are signed");
  v.check(field, url.hash === "", "must have no fragment");
  v.check(field, url.protocol === "https:" || rule.allowsByName(url.hostname), "must be https, unless the operator allows its host");
  try {
    rule.checkName(url.hostname);
  } catch (error) {
    v.fail(field, fromConnectError(error).message);
  }
}
