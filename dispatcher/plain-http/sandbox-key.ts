import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { requireSandbox } from "../callers/caller.ts";
import type { KnownHandler } from "../http/router.ts";

/** `GET /v1/sandboxes/NAME/key`: what a sandbox that dials in verifies the tokens of calls with. For that sandbox, and the operator. */
export function sandboxKey(publicKey: string | undefined): KnownHandler {
  return async ({ caller, params: { name = "" } }) => {
    requireSandbox(caller, name);
    if (publicKey !== undefined) return { status: 200, body: { public_key: publicKey } };
    const text = "this dispatcher makes no tokens for sandboxes, so none can dial in: set HANDS_PRIVATE_KEY_FILE where it starts";
    throw new HarnessError(Code.FailedPrecondition, "no_sandbox_key", text);
  };
}
