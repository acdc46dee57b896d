import { Validation } from "@serverless-harness/kit/validate";
import type { Token } from "@serverless-harness/proto/leaf";

/** What is known of the bearer tokens that were made, so that they can be listed and revoked. The tokens themselves are never kept. */
export interface Tokens {
  /** Keep a new token's description until it expires; some of those that did are forgotten meanwhile. INVALID_ARGUMENT names what is out of its limits. */
  addToken(token: Token): Promise<void>;
  /** Tokens that are not expired, by tenant and id. `tenant`: only this one's. `limit`: 1 to 1000. */
  listTokens(tenant: string | undefined, limit: number, pageToken?: string): Promise<{ tokens: Token[]; nextPageToken?: string }>;
  /**
   * Note that a token is worth nothing from now on. One that was revoked stays as it is. `tenant`: only this one's. NOT_FOUND `token_not_found` if
   * there is none of this id.
   */
  revokeToken(tenant: string | undefined, tokenId: string, revokedBy: string): Promise<Token>;
  /** A token of this id was revoked, and did not expire since. */
  tokenRevoked(tokenId: string): Promise<boolean>;
}

/** Expired tokens that adding another one forgets at the most: more than are added, so that none stay. */
export const FORGOTTEN_AT_ONCE = 16;

/** Throw INVALID_ARGUMENT that names every field of a token that is out of its limits. */
export function checkToken({ tokenId, tenant, subject, createdBy }: Token): void {
  const validation = new Validation();
  validation.characters("token.token_id", tokenId, 1, 128);
  validation.line("token.token_id", tokenId);
  validation.characters("token.tenant", tenant, 1, 128);
  checkPerson(validation, "token.subject", subject, 1);
  checkPerson(validation, "token.created_by", createdBy, 0);
  validation.done();
}

/** Throw INVALID_ARGUMENT if the name of who revokes a token is out of its limits. */
export function checkRevokedBy(revokedBy: string): void {
  const validation = new Validation();
  checkPerson(validation, "revoked_by", revokedBy, 0);
  validation.done();
}

function checkPerson(validation: Validation, field: string, name: string, least: number): void {
  validation.characters(field, name, least, 256);
  validation.line(field, name);
}
