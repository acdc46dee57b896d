import { type AllowedHosts, readAllowedHosts } from "@serverless-harness/kit/address-rule";
import type { EnvReader } from "@serverless-harness/kit/env";
import type { Retention } from "@serverless-harness/session";
import { longestSpan, type RetryBounds } from "./retry-policy.ts";

/** How events are told to others. */
export interface WebhooksConfig {
  /** The operator's file, with secrets and addresses; absent: nobody is told of anything. */
  readonly file: string | undefined;
  readonly allowed: AllowedHosts;
  readonly retry: RetryBounds;
  /** An answer is waited for so long, in milliseconds. */
  readonly timeoutMs: number;
}

/** The variable that allows hosts which are not public, for messages. */
export const WEBHOOK_ALLOWED_HOSTS = "DISPATCHER_WEBHOOK_ALLOWED_HOSTS";

/** How events are told to others. */
export function readWebhooks(reader: EnvReader, { leafMs }: Retention): WebhooksConfig {
  const allowed = readAllowedHosts(reader.string(WEBHOOK_ALLOWED_HOSTS, ""));
  if (typeof allowed === "string") reader.problem(`${WEBHOOK_ALLOWED_HOSTS}: ${allowed}`);
  const file = reader.optional("DISPATCHER_WEBHOOKS_FILE");
  const retry = {
    attempts: reader.integer("DISPATCHER_WEBHOOK_ATTEMPTS", 10, 1, 20),
    baseMs: reader.integer("DISPATCHER_WEBHOOK_RETRY_MS", 5000, 10, 3_600_000),
  };
  // A message is made from its leaf, which has to be there until the last attempt.
  if (file !== undefined && longestSpan(retry) > leafMs)
    reader.problem(
      `DISPATCHER_WEBHOOK_ATTEMPTS: ${retry.attempts} attempts take up to ${(longestSpan(retry) / 3_600_000).toFixed(1)} hours, and ` +
        "leaves are kept for DISPATCHER_KEEP_LEAVES_HOURS only: allow fewer attempts, or keep leaves for longer",
    );
  const none: AllowedHosts = { names: new Set(), networks: [] };
  return {
    file,
    allowed: typeof allowed === "string" ? none : allowed,
    retry,
    timeoutMs: reader.integer("DISPATCHER_WEBHOOK_TIMEOUT_MS", 15_000, 100, 300_000),
  };
}
