import type { Token } from "@serverless-harness/proto/leaf";

/** What is known of the bearer tokens that were made, so that they can be listed and revoked. The tokens themselves are never kept. */
export interface Tokens {
  /** Keep a new token's description until it expires; some of those that did are forgotten meanwhile. INVALID_ARGUMENT names what is out of its limits. */
  addToken(token: Token): Promise<void>;
  /** Tokens that are not expired, by tenant and id. `tenant`: only this one's. `limit`: 1 to 1000. */
  listTokens(tenant: string | undefined, limit: number, pageToken?: string): Promise<{ tokens: Token[]; nextPageToken?: string }>;
  /**
   * Note that a token is worth nothing from now on. One that was revoked stays as it is. `tenant`: only this one's. NOT_FOUND `token_not_found` where
   * there is none of this id.
   */
  revokeToken(tenant: string | undefined, tokenId: string, revokedBy: string): Promise<Token>;
  /** A token of this id was revoked, and did not expire since. */
  tokenRevoked(tokenId: string): Promise<boolean>;
}
