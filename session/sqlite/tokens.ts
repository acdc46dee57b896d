import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Token, TokenSchema } from "@serverless-harness/proto/leaf";
import { tokenNotFound } from "../contract/errors.ts";
import { pageTokenOfPair, pairOfPageToken } from "../contract/page-token.ts";
import { checkPageSize } from "../contract/schedules.ts";
import { checkRevokedBy, checkToken, FORGOTTEN_AT_ONCE } from "../contract/tokens.ts";
import type { Bytes, Connection } from "./connection.ts";

const FORGET = `DELETE FROM harness_tokens WHERE token_id IN (SELECT token_id FROM harness_tokens WHERE expires_ms <= ?
  ORDER BY expires_ms LIMIT ${FORGOTTEN_AT_ONCE})`;
const ADD = "INSERT INTO harness_tokens (token_id, tenant, expires_ms, revoked, token) VALUES (?, ?, ?, ?, ?)";
const READ = "SELECT token FROM harness_tokens WHERE token_id = ? AND expires_ms > ?";
const REVOKE = "UPDATE harness_tokens SET revoked = 1, token = ? WHERE token_id = ?";
const REVOKED = "SELECT 1 FROM harness_tokens WHERE token_id = ? AND revoked = 1";
const LIST = `SELECT token FROM harness_tokens WHERE (tenant, token_id) > (?, ?) AND expires_ms > ? ORDER BY tenant, token_id LIMIT ?`;
const LIST_OF = "SELECT token FROM harness_tokens WHERE tenant = ? AND token_id > ? AND expires_ms > ? ORDER BY token_id LIMIT ?";

type Stored = { token: Bytes };

/** Keep a new token's description, inside the caller's transaction. */
export function addToken(connection: Connection, nowMs: number, token: Token): void {
  checkToken(token);
  connection.run(FORGET, nowMs);
  connection.run(ADD, token.tokenId, token.tenant, Number(token.expiresAtMs), 0, toBinary(TokenSchema, token));
}

/** A page of tokens that are not expired, by tenant and id. */
export function listTokens(
  connection: Connection,
  nowMs: number,
  tenant: string | undefined,
  limit: number,
  pageToken = "",
): { tokens: Token[]; nextPageToken?: string } {
  checkPageSize(limit);
  const [afterTenant, afterId] = pageToken === "" ? ["", ""] : pairOfPageToken(pageToken, tenant);
  const [sql, first] = tenant === undefined ? [LIST, afterTenant] : [LIST_OF, tenant];
  const found = connection.all<Stored>(sql, first, afterId, nowMs, limit + 1).map((row) => fromBinary(TokenSchema, row.token));
  const tokens = found.slice(0, limit);
  const last = found.length > limit ? tokens.at(-1) : undefined;
  return { tokens, ...(last === undefined ? {} : { nextPageToken: pageTokenOfPair(last.tenant, last.tokenId, tenant) }) };
}

/** Note that a token is worth nothing from now on, inside the caller's transaction. */
export function revokeToken(connection: Connection, nowMs: number, tenant: string | undefined, tokenId: string, revokedBy: string): Token {
  checkRevokedBy(revokedBy);
  const row = connection.one<Stored>(READ, tokenId, nowMs);
  const token = row === undefined ? undefined : fromBinary(TokenSchema, row.token);
  if (token === undefined || (tenant !== undefined && token.tenant !== tenant)) throw tokenNotFound();
  if (token.revokedAtMs !== 0n) return token;
  const revoked = create(TokenSchema, { ...token, revokedAtMs: BigInt(Math.floor(nowMs)), revokedBy });
  connection.run(REVOKE, toBinary(TokenSchema, revoked), tokenId);
  return revoked;
}

/** A token of this id was revoked. */
export function tokenRevoked(connection: Connection, tokenId: string): boolean {
  return connection.one(REVOKED, tokenId) !== undefined;
}
