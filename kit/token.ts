import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "./errors.ts";

/** What a token allows. */
export interface Claims {
  /** Who uses it, for the log. */
  readonly subject: string;
  /** Service it is for, as `hands`. */
  readonly audience: string;
  /** Scopes, as workspaces `<tenant>/<session>`; `*` at the end matches any rest. */
  readonly scopes: readonly string[];
  /** Not valid from this time on, milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
}

/** A new Ed25519 key pair as PEM texts: whoever mints holds the private one, whoever verifies only the public one. */
export function generateKeys(): { privateKey: string; publicKey: string } {
  const pair = generateKeyPairSync("ed25519");
  return {
    privateKey: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** Makes tokens: `<claims as base64url JSON>.<Ed25519 signature as base64url>`. */
export class TokenMint {
  readonly #key: KeyObject;

  constructor(privateKeyPem: string) {
    this.#key = createPrivateKey(privateKeyPem);
  }

  mint(claims: Claims): string {
    const body = Buffer.from(JSON.stringify(claims)).toString("base64url");
    return `${body}.${sign(null, Buffer.from(body), this.#key).toString("base64url")}`;
  }
}

/** Checks tokens of one audience. */
export class TokenVerifier {
  readonly #key: KeyObject;
  readonly #audience: string;
  /** Tokens whose signature was checked already: a signature costs 0.1 ms, a file call 0.2. */
  readonly #known = new Map<string, Claims>();

  constructor(publicKeyPem: string, audience: string) {
    this.#key = createPublicKey(publicKeyPem);
    this.#audience = audience;
  }

  /** The claims of a valid token. UNAUTHENTICATED for anything else, without telling which part was wrong. */
  verify(token: string | undefined, nowMs: number = Date.now()): Claims {
    const claims = token === undefined ? undefined : (this.#known.get(token) ?? this.#check(token));
    if (claims === undefined) {
      throw new HarnessError(Code.Unauthenticated, "unauthenticated", "a valid token is needed: send `Authorization: Bearer <token>`");
    }
    if (claims.expiresAtMs <= nowMs) {
      throw new HarnessError(Code.Unauthenticated, "token_expired", "the token has expired: mint a new one");
    }
    return claims;
  }

  #check(token: string): Claims | undefined {
    const [body, signature, rest] = token.split(".");
    if (body === undefined || signature === undefined || rest !== undefined) return undefined;
    if (!verify(null, Buffer.from(body), this.#key, Buffer.from(signature, "base64url"))) return undefined;
    const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as Claims;
    if (claims.audience !== this.#audience) return undefined;
    if (this.#known.size >= 1000) this.#known.clear();
    this.#known.set(token, claims);
    return claims;
  }
}

/** PERMISSION_DENIED unless one of the token's scopes covers `scope`. */
export function requireScope(claims: Claims, scope: string): void {
  const covered = claims.scopes.some((s) => (s.endsWith("*") ? scope.startsWith(s.slice(0, -1)) : s === scope));
  if (!covered) {
    throw new HarnessError(Code.PermissionDenied, "out_of_scope", `the token does not cover ${scope}`);
  }
}

/** The token of an `Authorization: Bearer` header, if there is one. */
export function bearerToken(header: string | null | undefined): string | undefined {
  return /^Bearer ([^\s]+)$/i.exec(header ?? "")?.[1];
}
