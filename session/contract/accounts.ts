import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Usage } from "@serverless-harness/proto/leaf";

/** What an account may have at the most; 0: no bound. */
export interface AccountLimits {
  /** Leaves that are not over: those that wait and those that run. */
  readonly unfinished: number;
  /** Bytes that its leaves take: their specs, and what brains wrote into their logs. */
  readonly bytes: number;
  /** Tokens a day (UTC) that models read and wrote for it, cached ones too. */
  readonly tokensPerDay: number;
  /** Cost a day (UTC), in millionths of a US dollar. */
  readonly microUsdPerDay: number;
}

/** What an account has and used. */
export interface AccountUse {
  readonly unfinished: number;
  readonly bytes: number;
  /** Today. */
  readonly tokens: number;
  /** Today. */
  readonly microUsd: number;
}

/** What a new leaf is counted for, besides its tenant, and under which limits. */
export interface Charge {
  /** Whoever submits it, within the tenant, as a token's id. Empty: nobody but the tenant. */
  readonly account: string;
  /** Of the tenant. Absent: none. */
  readonly ofTenant?: AccountLimits;
  /** Of that account. Absent: none. */
  readonly ofAccount?: AccountLimits;
}

/** What tenants have and used, and in them each account that leaves were submitted for. */
export interface Accounts {
  /** `account`: empty for the whole tenant. */
  accountUse(tenant: string, account: string): Promise<AccountUse>;
}

const DAY_MS = 86_400_000;
/** Leaves end all the time. */
const SOON_MS = 5000;
/** Room comes when leaves are removed, which is looked for once a minute. */
const LATER_MS = 60_000;

/** Whose limit it is. */
export type Owner = "tenant" | "token";

/** Each limit, and what it bounds. */
export const BOUNDS: readonly (readonly [keyof AccountLimits, keyof AccountUse])[] = [
  ["unfinished", "unfinished"],
  ["bytes", "bytes"],
  ["tokensPerDay", "tokens"],
  ["microUsdPerDay", "microUsd"],
];

const WORDS: Readonly<Record<keyof AccountLimits, string>> = {
  unfinished: "leaves that are not over",
  bytes: "bytes of leaves that are kept",
  tokensPerDay: "tokens a day",
  microUsdPerDay: "millionths of a US dollar a day",
};

/** The day of a time, as a number; it begins at midnight UTC. */
export function dayOf(nowMs: number): number {
  return Math.floor(nowMs / DAY_MS);
}

/** What a leaf used since its usage was told before. One that is queued again from the start tells less than before: all of it is new. */
export function addedUse(before: Usage | undefined, now: Usage): { tokens: number; microUsd: number } {
  const [was, is] = [before === undefined ? { tokens: 0, microUsd: 0 } : spentOf(before), spentOf(now)];
  if (is.tokens < was.tokens || is.microUsd < was.microUsd) return is;
  return { tokens: is.tokens - was.tokens, microUsd: is.microUsd - was.microUsd };
}

/** What a leaf used so far, as limits count it. */
export function spentOf({ inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costMicroUsd }: Usage): {
  tokens: number;
  microUsd: number;
} {
  return { tokens: Number(inputTokens + outputTokens + cacheReadTokens + cacheWriteTokens), microUsd: Number(costMicroUsd) };
}

/** Throw if there is no room for one more leaf of `bytes`. */
export function requireRoom(owner: Owner, limits: AccountLimits | undefined, use: AccountUse, bytes: number, nowMs: number): void {
  if (limits === undefined) return;
  const more: AccountUse = { unfinished: 1, bytes, tokens: 1, microUsd: 1 };
  for (const [limit, what] of BOUNDS)
    if (limits[limit] > 0 && use[what] + more[what] > limits[limit]) throw limitReached(owner, limit, limits[limit], nowMs);
}

/** The error for a leaf that there is no room for. */
export function limitReached(owner: Owner, limit: keyof AccountLimits, value: number, nowMs: number): HarnessError {
  const retryAfterMs = limit === "unfinished" ? SOON_MS : limit === "bytes" ? LATER_MS : (dayOf(nowMs) + 1) * DAY_MS - nowMs;
  const name = `${owner}.${snake(limit)}`;
  const text = `the ${owner} has its limit of ${value} ${WORDS[limit]} (${name}): try again later, or ask the operator for more`;
  return new HarnessError(Code.ResourceExhausted, "limit_reached", text, { metadata: { limit: name, value: String(value) }, retryAfterMs });
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
