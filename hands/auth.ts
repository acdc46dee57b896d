import { Code, type ContextKey, createContextKey, type Interceptor } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { bearerToken, type Claims, requireScope, type TokenVerifier } from "@serverless-harness/kit/token";
import { Health } from "@serverless-harness/proto/health";

/** The caller's claims, for handlers that answer by them. Unset where hands asks for no token. */
export const claimsKey: ContextKey<Claims | undefined> = createContextKey<Claims | undefined>(undefined);

/** Messages that name no workspace and need none: what they reach was named, and checked, before. */
const WITHOUT_WORKSPACE: ReadonlySet<string> = new Set([
  "harness.hands.v1.Ping",
  // Behind the message that named the terminal.
  "harness.hands.v1.WindowSize",
  // Answers only with what the token covers.
  "harness.hands.v1.WorkspaceServiceListRequest",
]);

/** A message as far as this file looks into it. */
interface Inspected {
  readonly $typeName?: string;
  readonly workspace?: string;
  readonly spec?: Inspected;
  readonly request?: { readonly case?: string; readonly value?: Inspected };
  readonly part?: { readonly case?: string; readonly value?: Inspected };
}

/**
 * Every call needs a token whose scopes cover the workspace of each of its messages. UNAUTHENTICATED without a valid one,
 * PERMISSION_DENIED outside its scopes. A stream's token is checked again at every message, so it can't outlive its expiry.
 */
export function authenticate(verifier: Pick<TokenVerifier, "verify">): Interceptor {
  return (next) => (request) => {
    if (request.service.typeName === Health.typeName) return next(request);
    const token = bearerToken(request.header.get("authorization"));
    const check = (message: object): void => {
      const claims = verifier.verify(token);
      for (const workspace of workspacesOf(message)) requireScope(claims, workspace);
    };
    request.contextValues.set(claimsKey, verifier.verify(token));
    if (!request.stream) {
      check(request.message);
      return next(request);
    }
    return next({ ...request, message: checked(request.message, check) });
  };
}

async function* checked<T extends object>(messages: AsyncIterable<T>, check: (message: object) => void): AsyncGenerator<T> {
  for await (const message of messages) {
    check(message);
    yield message;
  }
}

/** The workspaces that a request is about. A message that names none where it should is refused. */
export function workspacesOf(message: object): string[] {
  const inspected = message as Inspected;
  if (inspected.workspace !== undefined) return [inspected.workspace];
  if (inspected.spec !== undefined) return workspacesOf(inspected.spec);
  const oneof = inspected.request ?? inspected.part;
  if (oneof?.value instanceof Uint8Array) return [];
  if (oneof?.value !== undefined) return workspacesOf(oneof.value);
  if (WITHOUT_WORKSPACE.has(inspected.$typeName ?? "")) return [];
  throw new HarnessError(Code.InvalidArgument, "invalid_argument", `${inspected.$typeName ?? "the message"} names no workspace`);
}
