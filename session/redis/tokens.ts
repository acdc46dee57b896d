import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Token, TokenSchema } from "@serverless-harness/proto/leaf";
import { tokenNotFound } from "../contract/errors.ts";
import { pageTokenOfPair } from "../contract/page-token.ts";
import { checkPageSize } from "../contract/schedules.ts";
import { checkRevokedBy, checkToken, FORGOTTEN_AT_ONCE } from "../contract/tokens.ts";
import type { Database } from "./database.ts";
import { encode, pairName, pairRange } from "./names.ts";
import { bytes, list, type Reply, text } from "./scripts.ts";

/** Keep a new token's description. */
export async function addToken(database: Database, token: Token): Promise<void> {
  checkToken(token);
  const name = pairName(token.tenant, token.tokenId);
  await database.runTokens("tokenAdd", encode(token.tokenId), name, toBinary(TokenSchema, token), token.expiresAtMs, FORGOTTEN_AT_ONCE);
}

/** A page of tokens that are not expired, by tenant and id. A page may be short, as tokens that are expired and not forgotten yet take a place. */
export async function listTokens(database: Database, tenant: string | undefined, limit: number, pageToken?: string) {
  checkPageSize(limit);
  const [lowest, highest] = pairRange(tenant, pageToken);
  // One more than asked for tells whether there is another page.
  const found = list(await database.runTokens("tokenList", lowest, highest, limit + 1));
  const names = found.filter((_, i) => i % 2 === 0).map(text);
  const tokens = found
    .filter((_, i) => i % 2 === 1)
    .slice(0, limit)
    .map(tokenOf)
    .filter((each) => each !== undefined);
  const [lastTenant, lastId] = (names.length > limit ? (names[limit - 1] ?? "") : "").split(" ").map(decodeURIComponent);
  return { tokens, ...(lastTenant && lastId ? { nextPageToken: pageTokenOfPair(lastTenant, lastId, tenant) } : {}) };
}

/** Note that a token is worth nothing from now on. */
export async function revokeToken(database: Database, tenant: string | undefined, tokenId: string, revokedBy: string): Promise<Token> {
  checkRevokedBy(revokedBy);
  const token = tokenOf(await database.runTokens("tokenRevoke", encode(tokenId), tenant === undefined ? "" : encode(tenant), revokedBy));
  if (token === undefined) throw tokenNotFound();
  return token;
}

/** A token of this id was revoked. */
export async function tokenRevoked(database: Database, tokenId: string): Promise<boolean> {
  return text(await database.runTokens("tokenRevoked", encode(tokenId))) === "1";
}

/** What a script showed of a token; `undefined` if there is none. */
function tokenOf(reply: Reply | undefined): Token | undefined {
  const [made, revoked, by] = list(reply ?? []);
  if (!Buffer.isBuffer(made)) return undefined;
  return create(TokenSchema, { ...fromBinary(TokenSchema, bytes(made)), revokedAtMs: BigInt(text(revoked) || 0), revokedBy: text(by) });
}
