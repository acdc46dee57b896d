import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { JwtSigner } from "@serverless-harness/kit/jwt";
import { Validation } from "@serverless-harness/kit/validate";
import { type Token, TokenSchema, type TokenServiceCreateRequest, type TokenServiceListRequest } from "@serverless-harness/proto/leaf";
import type { Tokens } from "@serverless-harness/session";
import type { Audit } from "./audit/audit.ts";
import { actorOf, type Caller, requireScope, SCOPES, type Scope, scopesIn, tenantFor } from "./callers/caller.ts";

/** What the dispatcher's own tokens are for. */
export const AUDIENCE = "leaf";

const DAY_S = 24 * 3600;
const DEFAULT_LIFE_S = 90 * DAY_S;
const MAX_LIFE_S = 365 * DAY_S;
const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;
/** Whether a token was revoked is asked again after so many milliseconds. */
const REVOCATION_KNOWN_MS = 1000;
/** Tokens of which it is remembered whether they were revoked: at most so many. */
const MAX_REMEMBERED = 10_000;

/** The tokens that this system makes: each is signed, and only its description is kept. */
export class IssuedTokens {
  readonly #store: Tokens;
  readonly #signer: JwtSigner | undefined;
  readonly #audit: Audit;
  readonly #looked = new Map<string, { readonly atMs: number; readonly revoked: Promise<boolean> }>();

  /** `signer`: absent where the dispatcher has no keys to sign with. */
  constructor(store: Tokens, signer: JwtSigner | undefined, audit: Audit) {
    this.#audit = audit;
    this.#store = store;
    this.#signer = signer;
  }

  /** Make a token for the caller's tenant, or the one that an operator names. */
  async create(caller: Caller, request: TokenServiceCreateRequest): Promise<{ secret: string; token: Token }> {
    requireScope(caller, "admin");
    const tenant = tenantFor(caller, "tenant", request.tenant);
    const scopes = checkRequest(request);
    const signer = this.#signer;
    if (signer === undefined) throw noSigningKeys();
    return await this.#audit.act(
      caller,
      { action: "token.create", tenant, for_subject: request.subject, scopes },
      () => this.#make(signer, caller, { ...request, tenant, scopes }),
      ({ token }) => ({ made_token_id: token.tokenId, expires_at_ms: Number(token.expiresAtMs) }),
    );
  }

  async #make(
    signer: JwtSigner,
    caller: Caller,
    request: Pick<TokenServiceCreateRequest, "tenant" | "subject" | "lifeSeconds"> & { readonly scopes: Scope[] },
  ): Promise<{ secret: string; token: Token }> {
    const { tenant, scopes } = request;
    const made = await signer.sign({
      audience: AUDIENCE,
      subject: request.subject,
      lifeMs: Number(request.lifeSeconds || BigInt(DEFAULT_LIFE_S)) * 1000,
      claims: { tenant, scope: scopes.join(" ") },
    });
    const token = create(TokenSchema, {
      tokenId: made.id,
      tenant,
      subject: request.subject,
      scopes,
      createdAtMs: BigInt(made.issuedAtMs),
      createdBy: actorOf(caller, "operator"),
      expiresAtMs: BigInt(made.expiresAtMs),
    });
    // Kept before it is handed out: one that could not be revoked must not exist.
    await this.#store.addToken(token);
    return { secret: made.token, token };
  }

  /** A page of tokens. */
  async list(caller: Caller, request: TokenServiceListRequest): Promise<{ tokens: Token[]; nextPageToken?: string }> {
    requireScope(caller, "admin");
    const v = new Validation();
    if (request.tenant !== "") v.name("tenant", request.tenant);
    v.check("page_size", request.pageSize >= 0 && request.pageSize <= MAX_PAGE_SIZE, `must be 1 to ${MAX_PAGE_SIZE}, or 0 for the default`);
    v.done();
    const everybody = caller.tenant === undefined && request.tenant === "";
    const tenant = everybody ? undefined : tenantFor(caller, "tenant", request.tenant);
    return await this.#store.listTokens(tenant, request.pageSize || DEFAULT_PAGE_SIZE, request.pageToken);
  }

  /** Make a token worthless: at once here, and for every other dispatcher when it asks again. */
  async revoke(caller: Caller, tokenId: string): Promise<Token> {
    requireScope(caller, "admin");
    const token = await this.#audit.act(caller, { action: "token.revoke", revoked_token_id: tokenId }, () =>
      this.#store.revokeToken(caller.tenant, tokenId, actorOf(caller, "operator")),
    );
    this.#looked.delete(tokenId);
    return token;
  }

  /** A token of this id was revoked, as far as the store told within the last second. */
  isRevoked(tokenId: string): Promise<boolean> {
    const now = performance.now();
    const known = this.#looked.get(tokenId);
    if (known !== undefined && now - known.atMs < REVOCATION_KNOWN_MS) return known.revoked;
    const revoked = this.#store.tokenRevoked(tokenId);
    // Whoever waits for it is told; the next one asks again.
    revoked.catch(() => this.#looked.delete(tokenId));
    if (this.#looked.size >= MAX_REMEMBERED) this.#looked.clear();
    this.#looked.set(tokenId, { atMs: now, revoked });
    return revoked;
  }
}

/** INVALID_ARGUMENT lists every bad field. Returns the scopes, each once. */
function checkRequest({ tenant, subject, scopes, lifeSeconds }: TokenServiceCreateRequest): Scope[] {
  const v = new Validation();
  if (tenant !== "") v.name("tenant", tenant);
  v.characters("subject", subject, 1, 256);
  v.line("subject", subject);
  v.check("scopes", scopes.length > 0, `must name what it is for: some of ${SCOPES.join(", ")}`);
  for (const [index, scope] of scopes.entries())
    v.check(`scopes[${index}]`, scopesIn([scope]).length > 0, `must be one of ${SCOPES.join(", ")}, or schedules:*`);
  v.range("life_seconds", lifeSeconds, 0, MAX_LIFE_S);
  v.done();
  return scopesIn(scopes);
}

function noSigningKeys(): HarnessError {
  const text = "this dispatcher has no keys to sign with: set DISPATCHER_SIGNING_KEYS_FILE, or ask the identity provider for a token";
  return new HarnessError(Code.FailedPrecondition, "no_signing_keys", text);
}
