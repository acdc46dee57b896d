import { type AccountUse, type Charge, dayOf, requireRoom } from "../contract/accounts.ts";
import type { Connection } from "./connection.ts";

const READ = "SELECT unfinished, bytes, day, tokens, micro_usd FROM harness_accounts WHERE tenant = ? AND account = ?";
const SPEND = `UPDATE harness_accounts SET tokens = iif(day = ?1, tokens, 0) + ?2, micro_usd = iif(day = ?1, micro_usd, 0) + ?3, day = ?1
  WHERE tenant = ?4 AND account IN ('', ?5)`;
/** Of whom nothing is kept, and whose day is over. */
const FORGET = "DELETE FROM harness_accounts WHERE unfinished <= 0 AND bytes <= 0 AND day < ?";

type Row = { unfinished: number; bytes: number; day: number; tokens: number; micro_usd: number };

/** What an account has, and what it used on the day of `nowMs`. */
export function readAccount(connection: Connection, nowMs: number, tenant: string, account: string): AccountUse {
  const row = connection.one<Row>(READ, tenant, account);
  if (row === undefined) return { unfinished: 0, bytes: 0, tokens: 0, microUsd: 0 };
  const isToday = row.day === dayOf(nowMs);
  return { unfinished: row.unfinished, bytes: row.bytes, tokens: isToday ? row.tokens : 0, microUsd: isToday ? row.micro_usd : 0 };
}

/** Throw if one of the limits leaves no room for a leaf of `bytes`, inside the caller's transaction. */
export function requireRoomFor(connection: Connection, nowMs: number, tenant: string, bytes: number, charge: Charge | undefined): void {
  if (charge === undefined) return;
  const { account, ofTenant, ofAccount } = charge;
  if (ofTenant !== undefined) requireRoom("tenant", ofTenant, readAccount(connection, nowMs, tenant, ""), bytes, nowMs);
  if (account !== "" && ofAccount !== undefined)
    requireRoom("token", ofAccount, readAccount(connection, nowMs, tenant, account), bytes, nowMs);
}

/** Count what a leaf used for its tenant and its account, inside the caller's transaction. */
export function spend(
  connection: Connection,
  nowMs: number,
  { tenant, account }: { readonly tenant: string; readonly account: string },
  { tokens, microUsd }: { readonly tokens: number; readonly microUsd: number },
): void {
  connection.run(SPEND, dayOf(nowMs), tokens, microUsd, tenant, account);
}

/** Forget accounts of which nothing is to be remembered, inside the caller's transaction. */
export function forgetEmptyAccounts(connection: Connection, nowMs: number): void {
  connection.run(FORGET, dayOf(nowMs));
}
