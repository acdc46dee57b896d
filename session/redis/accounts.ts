import { type AccountLimits, type AccountUse, BOUNDS, type Charge, limitReached } from "../contract/accounts.ts";
import type { Database } from "./database.ts";
import { encode } from "./names.ts";
import { list, text } from "./scripts.ts";

const NO_LIMITS: AccountLimits = { unfinished: 0, bytes: 0, tokensPerDay: 0, microUsdPerDay: 0 };
const NOTHING: AccountUse = { unfinished: 0, bytes: 0, tokens: 0, microUsd: 0 };

/** What an account has and used today: the sum over all partitions. */
export async function readAccount(database: Database, tenant: string, account: string): Promise<AccountUse> {
  return useIn(database, database.names.all(), tenant, account);
}

async function useIn(database: Database, partitions: readonly number[], tenant: string, account: string): Promise<AccountUse> {
  const parts = await Promise.all(partitions.map((partition) => database.run("account", partition, encode(tenant), encode(account))));
  return parts.reduce((sum: AccountUse, part) => {
    const [unfinished = 0, bytes = 0, tokens = 0, microUsd = 0] = list(part).map((value) => Number(text(value)));
    return {
      unfinished: sum.unfinished + unfinished,
      bytes: sum.bytes + bytes,
      tokens: sum.tokens + tokens,
      microUsd: sum.microUsd + microUsd,
    };
  }, NOTHING);
}

/**
 * What the script that writes a leaf of this tenant is told of its account and limits. On one node it looks into all partitions itself. On a cluster it can look into the leaf's own
 * only, so it gets what the others leave of each limit: leaves that are written at the same time in several partitions may exceed it.
 */
export async function chargeArguments(
  database: Database,
  tenant: string,
  partition: number,
  charge: Charge | undefined,
): Promise<(string | number)[]> {
  const { account = "", ofTenant = NO_LIMITS, ofAccount = NO_LIMITS } = charge ?? {};
  const [forTenant, forAccount] = await Promise.all([
    left(database, tenant, "", partition, ofTenant),
    account === "" ? BOUNDS.map(() => 0) : left(database, tenant, account, partition, ofAccount),
  ]);
  return [encode(account), ...forTenant, ...forAccount];
}

/** The error for the limit that the script names: whose it is, and its place. */
export function limitError(message: string, charge: Charge | undefined, nowMs: number): Error {
  const [, whose, place] = message.split(" ");
  const [limit] = BOUNDS[Number(place) - 1] ?? ["unfinished"];
  const [owner, limits] = whose === "1" ? (["tenant", charge?.ofTenant] as const) : (["token", charge?.ofAccount] as const);
  return limitReached(owner, limit, limits?.[limit] ?? 0, nowMs);
}

async function left(database: Database, tenant: string, account: string, partition: number, limits: AccountLimits): Promise<number[]> {
  const elsewhere = database.names.all().filter((other) => other !== partition);
  const isBounded = BOUNDS.some(([limit]) => limits[limit] > 0);
  const others = database.together || !isBounded ? NOTHING : await useIn(database, elsewhere, tenant, account);
  // Nothing left is not the same as no limit.
  return BOUNDS.map(([limit, what]) => (limits[limit] === 0 ? 0 : Math.max(0.5, limits[limit] - others[what])));
}
