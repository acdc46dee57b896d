import { Code, type ContextKey, createContextKey, type Interceptor } from "@connectrpc/connect";
import { bearerToken } from "@serverless-harness/kit/bearer";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Claims, requireOperation, requireWorkspace } from "@serverless-harness/kit/hands-claims";
import type { TokenVerifier } from "@serverless-harness/kit/hands-token";
import { REFLECTION_SERVICES } from "@serverless-harness/kit/reflection";
import { Health } from "@serverless-harness/proto/health";
import type { Workspaces } from "../workspaces/workspaces.ts";
import { furtherOperationOf, operationOf } from "./operations.ts";

/** The caller's claims, for handlers that answer by them. Unset if hands asks for no token. */
export const claimsKey: ContextKey<Claims | undefined> = createContextKey<Claims | undefined>(undefined);

/** Messages that name no workspace and need none: what they reach was named, and checked, before. */
const WITHOUT_WORKSPACE: ReadonlySet<string> = new Set([
  "harness.hands.v1.Ping",
  // They follow the message that named the terminal.
  "harness.hands.v1.WindowSize",
  "harness.hands.v1.TerminalInput",
  // Answers only with what the token covers.
  "harness.hands.v1.WorkspaceServiceListRequest",
  // It is about the sandbox alone.
  "harness.hands.v1.DescribeRequest",
]);

/** A message as far as this file looks into it. */
interface Inspected {
  readonly $typeName?: string;
  readonly workspace?: string;
  readonly epoch?: bigint;
  readonly spec?: Inspected;
  readonly request?: { readonly case?: string; readonly value?: Inspected };
  readonly part?: { readonly case?: string; readonly value?: Inspected };
}

/** What a message is about. */
interface Target {
  readonly workspace: string;
  /** 0 if it carries none. */
  readonly epoch: bigint;
}

/** What tokens are checked with. */
export interface AuthenticateOptions {
  readonly verifier: Pick<TokenVerifier, "verify">;
  /** Knows the newest epoch of each workspace. */
  readonly workspaces: Pick<Workspaces, "admit">;
}

/** Services that tell nothing but that hands is there and what its public schema is: probes and tools ask them without a token. */
const OPEN: ReadonlySet<string> = new Set([Health.typeName, ...REFLECTION_SERVICES]);

/**
 * Every call needs a token that is for calls of its kind and whose scopes cover the workspace of each of its messages. UNAUTHENTICATED
 * without a valid one, PERMISSION_DENIED outside its scopes, operations and epoch, FAILED_PRECONDITION `stale_epoch` if a newer owner was
 * seen than the one that the token was minted for. A stream's token is checked again at every message, so it outlives neither its expiry
 * nor its epoch.
 */
export function authenticate({ verifier, workspaces }: AuthenticateOptions): Interceptor {
  return (next) => async (request) => {
    if (OPEN.has(request.service.typeName)) return next(request);
    const needed = operationOf(request.method);
    const token = bearerToken(request.header.get("authorization"));
    const admit = async (): Promise<Claims> => {
      const claims = await verifier.verify(token);
      if (needed !== "any") requireOperation(claims, needed);
      const [scope] = claims.scopes;
      if (claims.epoch !== undefined && scope !== undefined) await workspaces.admit(scope, claims.epoch);
      return claims;
    };
    const claims = await admit();
    request.contextValues.set(claimsKey, claims);
    if (!request.stream) {
      requireMessage(claims, request.message);
      return next(request);
    }
    return next({ ...request, message: checked(request.message, async (message) => requireMessage(await admit(), message)) });
  };
}

function requireMessage(claims: Claims, message: object): void {
  const further = furtherOperationOf(message);
  if (further !== undefined) requireOperation(claims, further);
  for (const target of targetsOf(message)) requireTarget(claims, target);
}

function requireTarget(claims: Claims, { workspace, epoch }: Target): void {
  requireWorkspace(claims, workspace);
  if (claims.epoch === undefined || epoch <= claims.epoch) return;
  // Else a token of an old owner could fence off the rightful one.
  throw new HarnessError(
    Code.PermissionDenied,
    "out_of_scope",
    `the token was minted under epoch ${claims.epoch} and does not cover epoch ${epoch}: mint one under that`,
  );
}

async function* checked<T extends object>(messages: AsyncIterable<T>, check: (message: object) => Promise<void>): AsyncGenerator<T> {
  for await (const message of messages) {
    await check(message);
    yield message;
  }
}

/** The workspaces that a request is about. A message that names none if it should is refused. */
export function targetsOf(message: object): Target[] {
  const inspected = message as Inspected;
  if (inspected.workspace !== undefined) return [{ workspace: inspected.workspace, epoch: inspected.epoch ?? 0n }];
  if (inspected.spec !== undefined) return targetsOf(inspected.spec);
  const oneof = inspected.request ?? inspected.part;
  if (oneof?.value instanceof Uint8Array) return [];
  if (oneof?.value !== undefined) return targetsOf(oneof.value);
  if (WITHOUT_WORKSPACE.has(inspected.$typeName ?? "")) return [];
  throw new HarnessError(Code.InvalidArgument, "invalid_argument", `${inspected.$typeName ?? "the message"} names no workspace`);
}
