import { Code } from "@connectrpc/connect";
import type { JWTPayload } from "jose";
import { HarnessError } from "./errors.ts";

/** What a token may be for, beside its scopes. Each service says which of its calls are which. */
export const OPERATIONS = ["exec", "files.read", "files.write", "terminal", "workspaces", "workspaces.list", "metrics"] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Operations that another one includes. */
const PART_OF: Partial<Record<Operation, Operation>> = { "workspaces.list": "workspaces" };

/** What a token for hands allows. */
export interface Claims {
  /** Who uses it, for the log. */
  readonly subject: string;
  /** Scopes, as workspaces `<tenant>/<session>`; `<tenant>/*` covers all of a tenant, `*` everything. A `*` stands nowhere else. */
  readonly scopes: readonly string[];
  /** Not valid from this time on, milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
  /** Calls of these kinds only. Default: all but `metrics`, which are about everybody and always have to be named. */
  readonly operations?: readonly Operation[];
  /** The session's epoch that the token was minted under: it is void once a newer one was seen. Needs one scope, without a `*`. */
  readonly epoch?: bigint;
}

/** What every JSON Web Token may say (RFC 7519), and whoever verifies it has looked at. */
const REGISTERED: ReadonlySet<string> = new Set(["iss", "aud", "iat", "nbf", "jti"]);

/** The claims of a token, beside those of every one; the epoch is a decimal text, as JSON's numbers end too soon. Throws if no hands would take them. */
export function writeClaims({ scopes, operations, epoch, ...registered }: Claims): JWTPayload {
  const claims = {
    workspaces: scopes,
    ...(operations === undefined ? {} : { operations }),
    ...(epoch === undefined ? {} : { epoch: epoch.toString() }),
  };
  if (readClaims({ ...claims, sub: registered.subject, exp: Math.ceil(registered.expiresAtMs / 1000) }) === undefined)
    throw new Error("these claims make no token: a * stands alone or after a /, and an epoch needs one workspace without it");
  return claims;
}

/** What a verified token says; `undefined` if it is not what {@link Claims} says. Claims that are not known are refused: they may limit it. */
export function readClaims({ sub, exp, workspaces, operations, epoch, ...others }: JWTPayload): Claims | undefined {
  if (Object.keys(others).some((name) => !REGISTERED.has(name))) return undefined;
  if (typeof sub !== "string" || !Number.isSafeInteger(exp) || !isListOf(workspaces, isScope)) return undefined;
  if (operations !== undefined && !isListOf(operations, (name) => OPERATIONS.some((known) => known === name))) return undefined;
  const [first] = workspaces;
  const isOne = workspaces.length === 1 && !String(first).endsWith("*");
  if (epoch !== undefined && !(typeof epoch === "string" && /^\d{1,19}$/.test(epoch) && isOne)) return undefined;
  return {
    subject: sub,
    scopes: workspaces as string[],
    expiresAtMs: (exp as number) * 1000,
    ...(operations === undefined ? {} : { operations: operations as Operation[] }),
    ...(epoch === undefined ? {} : { epoch: BigInt(epoch) }),
  };
}

/** `race*` is none: it would cover `race2/other` as well, which nobody expects of it. */
function isScope(scope: unknown): boolean {
  return typeof scope === "string" && /^(?:[^*]+|(?:[^*]+\/)?\*)$/.test(scope);
}

function isListOf(value: unknown, isRight: (item: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(isRight);
}

/** PERMISSION_DENIED unless one of the token's scopes covers `scope`. */
export function requireWorkspace(claims: Claims, scope: string): void {
  const covered = claims.scopes.some((given) => (given.endsWith("*") ? scope.startsWith(given.slice(0, -1)) : given === scope));
  if (!covered) {
    throw new HarnessError(Code.PermissionDenied, "out_of_scope", `the token does not cover ${scope}`);
  }
}

/** PERMISSION_DENIED unless the token is for calls of this kind. `undefined`: a call of a kind that only an unlimited token covers. */
export function requireOperation(claims: Claims, operation: Operation | undefined): void {
  if (covers(claims.operations, operation)) return;
  const needed = operation === undefined ? "without limits on operations" : `with the operation ${operation}`;
  throw new HarnessError(Code.PermissionDenied, "out_of_scope", `the token does not cover this call: mint one ${needed}`);
}

function covers(operations: readonly Operation[] | undefined, operation: Operation | undefined): boolean {
  if (operations === undefined) return operation !== "metrics";
  return operation !== undefined && [operation, PART_OF[operation]].some((name) => name !== undefined && operations.includes(name));
}
