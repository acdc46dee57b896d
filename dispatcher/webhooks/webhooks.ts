import type { AddressRule } from "@serverless-harness/kit/address-rule";
import { Validation } from "@serverless-harness/kit/validate";
import { type Leaf, type LeafSpec, WebhookEvent } from "@serverless-harness/proto/leaf";
import type { WebhookSettings } from "./settings.ts";
import type { Secret } from "./signature.ts";
import { checkTarget, EVENT_NAMES, type EventName } from "./target.ts";

/** An address that a leaf's events are told to. */
export interface Target {
  /** Names it within its leaf, in what is noted of it: `endpoint:<name>` of the tenant, `leaf:<number>` of the leaf's own. */
  readonly key: string;
  readonly url: string;
  readonly events: ReadonlySet<EventName>;
}

/** Where messages about a leaf go, and what they are signed with. */
export interface Plan {
  readonly targets: readonly Target[];
  /** Empty: nobody set up webhooks for the tenant, or not any more. */
  readonly secrets: readonly Secret[];
}

const MAX_WEBHOOKS = 4;
const NAMES: Readonly<Record<number, EventName>> = {
  [WebhookEvent.GATE_OPENED]: "leaf.gate_opened",
  [WebhookEvent.LEAF_ENDED]: "leaf.ended",
};

/** Who is told of which leaf: the leaf's own addresses, and those of its tenant. */
export class Webhooks {
  readonly #settings: WebhookSettings | undefined;
  readonly #rule: AddressRule;

  /** `settings`: none, if no tenant has webhooks. */
  constructor(settings: WebhookSettings | undefined, rule: AddressRule) {
    this.#settings = settings;
    this.#rule = rule;
  }

  /** Somebody is to be told of this leaf. INVALID_ARGUMENT lists what is wrong with its own addresses. */
  wanted({ tenant, webhooks }: LeafSpec): boolean {
    const settings = this.#settings?.of(tenant);
    const v = new Validation();
    v.check("spec.webhooks", webhooks.length <= MAX_WEBHOOKS, `must be at most ${MAX_WEBHOOKS}`);
    if (webhooks.length > 0 && settings === undefined)
      v.fail("spec.webhooks", `can't be signed: ask the operator to set up webhooks for the tenant ${tenant} (DISPATCHER_WEBHOOKS_FILE)`);
    for (const [i, { url, events }] of webhooks.entries()) {
      checkTarget(v, `spec.webhooks[${i}].url`, url, this.#rule);
      const known = events.every((event) => NAMES[event] !== undefined);
      v.check(
        `spec.webhooks[${i}].events`,
        known,
        "must be WEBHOOK_EVENT_GATE_OPENED or WEBHOOK_EVENT_LEAF_ENDED, or be left out for both",
      );
    }
    v.done();
    return webhooks.length > 0 || (settings !== undefined && settings.endpoints.length > 0);
  }

  /** Where messages about a leaf go by what is set up now. */
  planOf(leaf: Leaf): Plan {
    const { endpoints = [], secrets = [] } = this.#settings?.of(leaf.spec?.tenant ?? "") ?? {};
    const own = (leaf.spec?.webhooks ?? []).map(({ url, events }, i) => ({
      key: `leaf:${i}`,
      url,
      events: new Set(events.length === 0 ? EVENT_NAMES : events.flatMap((event) => NAMES[event] ?? [])),
    }));
    return { secrets, targets: [...endpoints.map(({ name, url, events }) => ({ key: `endpoint:${name}`, url, events })), ...own] };
  }
}
