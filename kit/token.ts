import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "./errors.ts";

/** What a token may be for, beside its scopes. Each service says which of its calls are which. */
export const OPERATIONS = ["exec", "files.read", "files.write", "terminal", "workspaces", "metrics"] as const;
export type Operation = (typeof OPERATIONS)[number];

/** What a token allows. */
export interface Claims {
  /** Who uses it, for the log. */
  readonly subject: string;
  /** Service it is for, as `hands`. */
  readonly audience: string;
  /** Scopes, as workspaces `<tenant>/<session>`; `<tenant>/*` covers all of a tenant, `*` everything. A `*` stands nowhere else. */
  readonly scopes: readonly string[];
  /** Not valid from this time on, milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
  /** Calls of these kinds only. Default: all but `metrics`, which are about everybody and always have to be named. */
  readonly operations?: readonly Operation[];
  /** The session's epoch that the token was minted under: it is void once a newer one was seen. Needs one scope, without a `*`. */
  readonly epoch?: bigint;
}

/** A token is taken for so much longer than it says, as the clocks of two machines are never quite the same, in milliseconds. */
export const CLOCK_SKEW_MS = 120_000;

/** A new Ed25519 key pair as PEM texts: whoever mints holds the private one, whoever verifies only the public one. */
export function generateKeys(): { privateKey: string; publicKey: string } {
  const pair = generateKeyPairSync("ed25519");
  return {
    privateKey: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** Makes tokens: `<claims as base64url JSON>.<Ed25519 signature as base64url>`. The epoch is a decimal text, as JSON's numbers end too soon. */
export class TokenMint {
  readonly #key: KeyObject;

  constructor(privateKeyPem: string) {
    this.#key = createPrivateKey(privateKeyPem);
  }

  /** Throws where no verifier would take the claims. */
  mint(claims: Claims): string {
    const json = JSON.stringify({ ...claims, epoch: claims.epoch?.toString() });
    if (readClaims(json) === undefined)
      throw new Error("these claims make no token: a * stands alone or after a /, and an epoch needs one scope without it");
    const body = Buffer.from(json).toString("base64url");
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

  /** The claims of a valid token, whose expiry is taken with {@link CLOCK_SKEW_MS}. UNAUTHENTICATED for anything else, without telling which part was wrong. */
  verify(token: string | undefined, nowMs: number = Date.now()): Claims {
    const claims = token === undefined ? undefined : (this.#known.get(token) ?? this.#check(token));
    if (claims === undefined) {
      throw new HarnessError(Code.Unauthenticated, "unauthenticated", "a valid token is needed: send `Authorization: Bearer <token>`");
    }
    if (claims.expiresAtMs + CLOCK_SKEW_MS <= nowMs) throw expired(claims, nowMs);
    return claims;
  }

  #check(token: string): Claims | undefined {
    const [body, signature, rest] = token.split(".");
    if (body === undefined || signature === undefined || rest !== undefined) return undefined;
    if (!verify(null, Buffer.from(body), this.#key, Buffer.from(signature, "base64url"))) return undefined;
    const claims = readClaims(Buffer.from(body, "base64url").toString());
    if (claims?.audience !== this.#audience) return undefined;
    if (this.#known.size >= 1000) this.#known.clear();
    this.#known.set(token, claims);
    return claims;
  }
}

/** Whoever minted it learns the time here: a token that is new by its clock has expired when that clock is slow. */
function expired({ expiresAtMs }: Claims, nowMs: number): HarnessError {
  const seconds = Math.round((nowMs - expiresAtMs) / 1000);
  const text = `the token expired ${seconds} s ago by this machine's clock: mint a new one; if it is new, the clock where it was made is slow, set it`;
  return new HarnessError(Code.Unauthenticated, "token_expired", text, { metadata: { now_ms: String(nowMs) } });
}

/** Claims from JSON; `undefined` where they are not what {@link Claims} says. Fields that are not known are refused: they may limit it. */
function readClaims(json: string): Claims | undefined {
  const value = parseObject(json);
  if (value === undefined) return undefined;
  const { subject, audience, scopes, expiresAtMs, operations, epoch, ...unknown } = value;
  if (Object.keys(unknown).length > 0) return undefined;
  if (typeof subject !== "string" || typeof audience !== "string" || !Number.isSafeInteger(expiresAtMs)) return undefined;
  if (!isListOf(scopes, isScope)) return undefined;
  if (operations !== undefined && !isListOf(operations, (name) => OPERATIONS.some((known) => known === name))) return undefined;
  if (
    epoch !== undefined &&
    !(typeof epoch === "string" && /^\d{1,19}$/.test(epoch) && scopes.length === 1 && !String(scopes[0]).endsWith("*"))
  )
    return undefined;
  return {
    subject,
    audience,
    scopes: scopes as string[],
    expiresAtMs: expiresAtMs as number,
    ...(operations === undefined ? {} : { operations: operations as Operation[] }),
    ...(epoch === undefined ? {} : { epoch: BigInt(epoch) }),
  };
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** `race*` is none: it would cover `race2/other` as well, which nobody expects of it. */
function isScope(scope: unknown): boolean {
  return typeof scope === "string" && /^(?:[^*]+|(?:[^*]+\/)?\*)$/.test(scope);
}

function isListOf(value: unknown, isRight: (item: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(isRight);
}

/** PERMISSION_DENIED unless one of the token's scopes covers `scope`. */
export function requireScope(claims: Claims, scope: string): void {
  const covered = claims.scopes.some((given) => (given.endsWith("*") ? scope.startsWith(given.slice(0, -1)) : given === scope));
  if (!covered) {
    throw new HarnessError(Code.PermissionDenied, "out_of_scope", `the token does not cover ${scope}`);
  }
}

/** PERMISSION_DENIED unless the token is for calls of this kind. `undefined`: a call of a kind that only an unlimited token covers. */
export function requireOperation(claims: Claims, operation: Operation | undefined): void {
  const covered =
    claims.operations === undefined ? operation !== "metrics" : operation !== undefined && claims.operations.includes(operation);
  if (covered) return;
  const needed = operation === undefined ? "without limits on operations" : `with the operation ${operation}`;
  throw new HarnessError(Code.PermissionDenied, "out_of_scope", `the token does not cover this call: mint one ${needed}`);
}

/** The token of an `Authorization: Bearer` header, if there is one. */
export function bearerToken(header: string | null | undefined): string | undefined {
  return /^Bearer ([^\s]+)$/i.exec(header ?? "")?.[1];
}
