import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { parseObject, readBody } from "../http/body.ts";
import type { Handler } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";

const MAX_BODY_BYTES = 4096;

/**
 * `POST /wake` `{leafId, wakeKey}`: what a leaf sleeps for has happened. The key is the proof: whoever suspended the leaf made it up, and it wakes
 * this leaf once and can do nothing else. So no token is needed, which keeps tokens out of the sandbox that calls this.
 */
export function wake(leaves: Leaves): Handler {
  return async ({ request }) => {
    const { leafId, wakeKey } = parseObject(await readBody(request, MAX_BODY_BYTES), '{"leafId": "...", "wakeKey": "..."}');
    if (typeof leafId !== "string" || typeof wakeKey !== "string") {
      throw new HarnessError(Code.InvalidArgument, "envelope_invalid", 'send both as texts: {"leafId": "...", "wakeKey": "..."}');
    }
    await leaves.wake(leafId, wakeKey);
    // The same answer for every key: who guesses learns nothing.
    return { status: 202, body: {} };
  };
}
