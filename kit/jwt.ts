import { Code } from "@connectrpc/connect";
import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify, SignJWT } from "jose";
import { HarnessError } from "./errors.ts";
import { newId } from "./ids.ts";
import { type KeyFile, SIGNING_ALGORITHM } from "./signing-keys.ts";

/** A token is taken for so much longer than it says, as the clocks of two machines are never quite the same, in seconds. */
export const CLOCK_TOLERANCE_S = 120;
/** The longest token that is looked at, in characters: what an OpenID Connect provider issues stays far below. */
const MAX_TOKEN_LENGTH = 16_384;
/** Tokens that were verified already are remembered, as a signature costs 0.1 ms: at most so many. */
const MAX_KNOWN = 10_000;

/** What a new token says. */
export interface NewToken {
  readonly audience: string;
  readonly subject: string;
  /** How long it is valid, in milliseconds. */
  readonly lifeMs: number;
  /** Further claims. */
  readonly claims: JWTPayload;
}

/** A token, and what names it. */
export interface MadeToken {
  readonly token: string;
  readonly id: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** Whose tokens are taken. */
export interface Issuer {
  /** Its `iss`. */
  readonly name: string;
  /** What its tokens' `aud` has to name. */
  readonly audience: string;
  /** Algorithms of asymmetric keys only: with another one, a public key could be taken for a shared secret. */
  readonly algorithms: readonly string[];
  readonly keys: JWTVerifyGetKey;
  /** Grows when keys change: tokens that were verified with older ones are verified again. Default: they never change. */
  readonly generation?: () => Promise<number>;
}

/** The issuer of a file's own keys. */
export function issuerOf(file: KeyFile, name: string, audience: string): Issuer {
  return { name, audience, algorithms: [SIGNING_ALGORITHM], keys: file.verifying, generation: () => file.generation() };
}

/** Makes tokens (JWT, RFC 7519) that are signed with a key, as the newest of a file. */
export class JwtSigner {
  readonly #keys: Pick<KeyFile, "signing">;
  readonly #issuer: string;

  constructor(keys: Pick<KeyFile, "signing">, issuer: string) {
    this.#keys = keys;
    this.#issuer = issuer;
  }

  async sign({ audience, subject, lifeMs, claims }: NewToken, nowMs: number = Date.now()): Promise<MadeToken> {
    const { id: kid, key } = await this.#keys.signing();
    const id = newId("token");
    // Times in a token are whole seconds.
    const issuedAt = Math.floor(nowMs / 1000);
    const expiresAt = issuedAt + Math.ceil(lifeMs / 1000);
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: SIGNING_ALGORITHM, typ: "JWT", kid })
      .setIssuer(this.#issuer)
      .setAudience(audience)
      .setSubject(subject)
      .setIssuedAt(issuedAt)
      .setExpirationTime(expiresAt)
      .setJti(id)
      .sign(key);
    return { token, id, issuedAtMs: issuedAt * 1000, expiresAtMs: expiresAt * 1000 };
  }
}

interface Known {
  readonly payload: JWTPayload;
  readonly issuer: Issuer;
  readonly generation: number;
}

/** Checks tokens of the issuers that are trusted. */
export class JwtVerifier {
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #known = new Map<string, Known>();

  constructor(issuers: readonly Issuer[]) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.name, issuer]));
  }

  /**
   * A valid token's claims; `iss`, `sub`, `aud` and `exp` are there. UNAUTHENTICATED `token_expired` for one that was valid, UNAUTHENTICATED `unauthorized` for
   * anything else, without telling which part was wrong.
   */
  async verify(token: string, nowMs: number = Date.now()): Promise<JWTPayload> {
    const payload = (await this.#recall(token)) ?? (await this.#check(token));
    const expiresAtMs = (payload.exp ?? 0) * 1000;
    if (expiresAtMs + CLOCK_TOLERANCE_S * 1000 <= nowMs) throw expired(expiresAtMs, nowMs);
    if (payload.nbf !== undefined && payload.nbf * 1000 - CLOCK_TOLERANCE_S * 1000 > nowMs) throw unauthorized();
    return payload;
  }

  async #recall(token: string): Promise<JWTPayload | undefined> {
    const known = this.#known.get(token);
    return known !== undefined && known.generation === (await generationOf(known.issuer)) ? known.payload : undefined;
  }

  async #check(token: string): Promise<JWTPayload> {
    try {
      if (token.length > MAX_TOKEN_LENGTH) throw unauthorized();
      const issuer = this.#issuers.get(decodeJwt(token).iss ?? "");
      if (issuer === undefined) throw unauthorized();
      const generation = await generationOf(issuer);
      const { payload } = await jwtVerify(token, issuer.keys, {
        algorithms: [...issuer.algorithms],
        issuer: issuer.name,
        audience: issuer.audience,
        requiredClaims: ["sub", "exp"],
        // Its times are looked at for each use, not only for the first.
        currentDate: new Date(0),
        clockTolerance: Number.MAX_SAFE_INTEGER,
      });
      if (this.#known.size >= MAX_KNOWN) this.#known.clear();
      this.#known.set(token, { payload, issuer, generation });
      return payload;
    } catch (error) {
      if (error instanceof HarnessError) throw error;
      if (error instanceof errors.JOSEError && !isKeyTrouble(error)) throw unauthorized(error);
      throw new HarnessError(Code.Unavailable, "keys_unavailable", "the keys of the token's issuer can't be had now: try again", {
        cause: error,
        retryAfterMs: 2000,
      });
    }
  }
}

async function generationOf({ generation }: Issuer): Promise<number> {
  return generation === undefined ? 0 : await generation();
}

/** The issuer was not reached, or answered nonsense: the token may be right. */
function isKeyTrouble(error: errors.JOSEError): boolean {
  return error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid || error.code === "ERR_JOSE_GENERIC";
}

/** The error for whatever is no valid token. */
export function unauthorized(cause?: unknown): HarnessError {
  return new HarnessError(Code.Unauthenticated, "unauthorized", "a valid token is needed: send `Authorization: Bearer <token>`", { cause });
}

/** Whoever made it learns the time here: a token that is new by its clock has expired if that clock is slow. */
function expired(expiresAtMs: number, nowMs: number): HarnessError {
  const seconds = Math.round((nowMs - expiresAtMs) / 1000);
  const text = `the token expired ${seconds} s ago by this machine's clock: make a new one; if it is new, the clock where it was made is slow, set it`;
  return new HarnessError(Code.Unauthenticated, "token_expired", text, { metadata: { now_ms: String(nowMs) } });
}
