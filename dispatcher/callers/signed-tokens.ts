import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Issuer, JwtVerifier } from "@serverless-harness/kit/jwt";
import { isName } from "@serverless-harness/kit/validate";
import type { JWTPayload } from "jose";
import type { TokenReader } from "./authenticator.ts";
import { type Caller, type Scope, scopesIn } from "./caller.ts";

/** What of a token's claims is taken for what. */
export interface Mapping {
  /** The claim that names the tenant, or the one tenant of all of this issuer's tokens. */
  readonly tenant: { readonly claim: string } | { readonly value: string };
  /** The claim that lists scopes, as a list or with blanks between them, or what every token of this issuer is for. */
  readonly scopes: { readonly claim: string } | { readonly value: readonly Scope[] };
  /** The claim that names who calls. */
  readonly subjectClaim: string;
}

/** How our own tokens say it. */
export const OWN_CLAIMS: Mapping = { tenant: { claim: "tenant" }, scopes: { claim: "scope" }, subjectClaim: "sub" };

/** An issuer whose tokens open the door, and how they are read. */
export interface TrustedIssuer {
  readonly issuer: Issuer;
  readonly mapping: Mapping;
}

const MAX_SUBJECT = 256;

/** Reads the tokens of every issuer that is trusted. */
export class SignedTokens implements TokenReader {
  readonly #verifier: JwtVerifier;
  readonly #mappings: ReadonlyMap<string, Mapping>;
  readonly #isRevoked: (tokenId: string) => Promise<boolean>;

  /** `isRevoked`: a token of this id (`jti`) was revoked. */
  constructor(trusted: readonly TrustedIssuer[], isRevoked: (tokenId: string) => Promise<boolean>) {
    this.#verifier = new JwtVerifier(trusted.map(({ issuer }) => issuer));
    this.#mappings = new Map(trusted.map(({ issuer, mapping }) => [issuer.name, mapping]));
    this.#isRevoked = isRevoked;
  }

  async read(token: string): Promise<Caller> {
    const claims = await this.#verifier.verify(token);
    const mapping = this.#mappings.get(claims.iss ?? "");
    if (mapping === undefined) throw new Error("the verifier took a token of an issuer that is not trusted");
    if (claims.jti !== undefined && (await this.#isRevoked(claims.jti)))
      throw new HarnessError(Code.Unauthenticated, "token_revoked", "the token was revoked: ask for a new one");
    return callerFrom(claims, mapping);
  }
}

/** PERMISSION_DENIED for a valid token that names no tenant, and so is not for this system. */
function callerFrom(claims: JWTPayload, mapping: Mapping): Caller {
  const { tenant, scopes, subjectClaim } = mapping;
  const name = "value" in tenant ? tenant.value : claims[tenant.claim];
  if (typeof name !== "string" || !isName(name)) {
    const claim = "value" in tenant ? "tenant" : tenant.claim;
    const text = `the token's claim ${claim} must be a tenant: 1 to 128 characters of A-Z a-z 0-9 . _ - not starting with a dot or a dash`;
    throw new HarnessError(Code.PermissionDenied, "token_without_tenant", text);
  }
  const subject = claims[subjectClaim];
  if (typeof subject !== "string" || subject === "" || subject.length > MAX_SUBJECT || /\p{Cc}/u.test(subject)) {
    const text = `the token's claim ${subjectClaim} must name who calls, in at most ${MAX_SUBJECT} characters`;
    throw new HarnessError(Code.PermissionDenied, "token_without_subject", text);
  }
  const allowed = new Set("value" in scopes ? scopes.value : scopesIn(wordsOf(claims[scopes.claim])));
  const account = mapping === OWN_CLAIMS ? claims.jti : `subject:${subject}`;
  return { kind: "token", tenant: name, subject, tokenId: claims.jti, account, scopes: allowed };
}

/** A list, or a text with blanks between its words, as RFC 8693 has it. */
function wordsOf(claim: unknown): unknown[] {
  return typeof claim === "string" ? claim.split(" ") : Array.isArray(claim) ? claim : [];
}
