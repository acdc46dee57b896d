import { Code, type Interceptor } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type Caller, callerKey } from "../callers/caller.ts";
import type { Reply, StreamReply } from "../http/reply.ts";
import type { Audit } from "./audit.ts";

/** The cause of a NOT_FOUND for something that is there, and another tenant's. It is never sent: a caller learns nothing of it. */
export const FOREIGN = new Error("it is another tenant's");

/** Writes down each RPC that is refused for what its token is. Belongs in front of what looks at tokens. */
export function deniedRpcs(audit: Audit): Interceptor {
  return (next) => async (request) => {
    const tell = (error: unknown): void => tellDenied(audit, request.contextValues.get(callerKey), request.method.name, error);
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: watched(response.message, tell) } : response;
    } catch (error) {
      tell(error);
      throw error;
    }
  };
}

async function* watched<T>(messages: AsyncIterable<T>, tell: (error: unknown) => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    tell(error);
    throw error;
  }
}

/** The same for a part of a plain HTTP request: it fails, or its reply says why it is refused. `call`: the request's path. */
export async function deniedRequest<T extends Caller | Reply | StreamReply>(
  audit: Audit,
  caller: Caller | undefined,
  call: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    const result = await work();
    const isDenial = "body" in result && (result.status === 401 || result.status === 403);
    if (isDenial) audit.denied(caller, call, String(result.body["error"]));
    return result;
  } catch (error) {
    tellDenied(audit, caller, call, error);
    throw error;
  }
}

/** Writes an error down if it is a refusal of the caller. */
export function tellDenied(audit: Audit, caller: Caller | undefined, call: string, error: unknown): void {
  if (!(error instanceof HarnessError)) return;
  const isForeign = error.cause === FOREIGN;
  const isDenial = isForeign || error.code === Code.Unauthenticated || error.code === Code.PermissionDenied;
  if (isDenial) audit.denied(caller, call, isForeign ? "foreign_tenant" : error.reason);
}
