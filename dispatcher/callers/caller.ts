import { Code, type ContextKey, createContextKey, type HandlerContext } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** Tenant of what an operator asks for without naming one. */
export const DEFAULT_TENANT = "default";

/**
 * What a token may be for. `leaves:submit` also redrives and sends messages; `sandboxes:serve` is for the
 * sandbox that the token's subject names; `admin` is everything of its tenant, with making and revoking tokens.
 */
export const SCOPES = [
  "leaves:submit",
  "leaves:read",
  "leaves:cancel",
  "gates:decide",
  "schedules:read",
  "schedules:write",
  "sandboxes:serve",
  "admin",
] as const;
export type Scope = (typeof SCOPES)[number];

/** The scopes that these words name, each once: an identity provider's token may hold others besides. `schedules:*` is both of schedules. */
export function scopesIn(words: readonly unknown[]): Scope[] {
  return SCOPES.filter((scope) => words.includes(scope) || (scope.startsWith("schedules:") && words.includes("schedules:*")));
}

/** Who calls: all of it comes from the token. An operator's token names nobody, so {@link actorOf} takes the name from the request. */
export interface Caller {
  /** How it was let in: `seed`, a client of the seed system without a token; `schedule`, a schedule's fire. */
  readonly kind: "operator" | "token" | "seed" | "schedule";
  /** Its tenant. `undefined`: the operator, who may act for every tenant and names one in the request. */
  readonly tenant: string | undefined;
  /** Its name, for events and logs. Empty: no token names it. */
  readonly subject: string;
  /** Its token's id. `undefined`: no token names it, or the token has none. */
  readonly tokenId?: string | undefined;
  /** What its leaves are counted for besides its tenant: a token of ours by its id, an identity provider's, which change often, by its subject. */
  readonly account?: string | undefined;
  readonly scopes: ReadonlySet<Scope>;
}

/** Whoever holds the operator's token, or may open a socket that only its owner can. */
export const OPERATOR: Caller = { kind: "operator", tenant: undefined, subject: "", scopes: new Set(SCOPES) };

/** Where the caller of an RPC is kept. */
export const callerKey: ContextKey<Caller | undefined> = createContextKey<Caller | undefined>(undefined);

/** The caller of an RPC, which every RPC but health and reflection has. */
export function callerOf(context: Pick<HandlerContext, "values">): Caller {
  const caller = context.values.get(callerKey);
  if (caller === undefined) throw new Error("an RPC that asks who calls is served without authentication");
  return caller;
}

/** PERMISSION_DENIED `scope_missing` unless the token is for this. */
export function requireScope(caller: Caller, scope: Scope): void {
  if (caller.scopes.has(scope) || caller.scopes.has("admin")) return;
  throw new HarnessError(Code.PermissionDenied, "scope_missing", `the token does not cover this call: use one with the scope ${scope}`, {
    metadata: { scope },
  });
}

/** The caller is the sandbox of this name: it has the scope by name, as `admin` alone is not enough, and its subject is the name. */
export function isSandbox({ kind, scopes, subject }: Caller, name: string): boolean {
  return kind !== "operator" && scopes.has("sandboxes:serve") && subject === name;
}

/** Whose sessions alone a sandbox takes that dials in; empty: everybody's, as the operator's tenant is the default one. */
export function servedTenant({ tenant = DEFAULT_TENANT }: Caller): string {
  return tenant === DEFAULT_TENANT ? "" : tenant;
}

/** PERMISSION_DENIED unless the caller is the sandbox of this name, or the operator. */
export function requireSandbox(caller: Caller, name: string): void {
  if (caller.kind === "operator" || isSandbox(caller, name)) return;
  if (!caller.scopes.has("sandboxes:serve"))
    throw new HarnessError(Code.PermissionDenied, "scope_missing", "the token is for no sandbox: use one with the scope sandboxes:serve");
  throw new HarnessError(
    Code.PermissionDenied,
    "foreign_sandbox",
    `the token is for the sandbox ${caller.subject}: its subject is the name`,
  );
}

/** The tenant that a request is for. `requested`: as it names one, or empty. PERMISSION_DENIED `foreign_tenant` where the token is another tenant's. */
export function tenantFor(caller: Caller, field: string, requested: string): string {
  if (caller.tenant === undefined) return requested || DEFAULT_TENANT;
  if (requested === "" || requested === caller.tenant) return caller.tenant;
  throw new HarnessError(Code.PermissionDenied, "foreign_tenant", `the token is another tenant's: leave ${field} empty`);
}

/** The tenant's things are the caller's. */
export function owns(caller: Caller, tenant: string): boolean {
  return caller.tenant === undefined || caller.tenant === tenant;
}

/** Who did it, for a leaf's log: the token's subject; only an operator, whose token has none, says in the request who it was. */
export function actorOf(caller: Caller, claimed: string): string {
  return caller.subject || claimed;
}
