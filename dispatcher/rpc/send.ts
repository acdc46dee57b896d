import type { ServiceImpl } from "@connectrpc/connect";
import { newId } from "@serverless-harness/kit/ids";
import { Validation } from "@serverless-harness/kit/validate";
import type { LeafService } from "@serverless-harness/proto/leaf";
import { checkMessage } from "@serverless-harness/session";
import { callerOf } from "../caller.ts";
import type { Leaves } from "../leaves.ts";
import { checkLeafId } from "../query.ts";

/** Send says something to a leaf. */
export function send(leaves: Leaves): ServiceImpl<typeof LeafService>["send"] {
  return async ({ leafId, text, mode, messageId, sentBy }, context) => {
    const message = { messageId: messageId || newId("message"), mode, text, sentBy };
    const v = new Validation();
    checkLeafId(v, leafId);
    checkMessage(v, message);
    v.done();
    return { message: await leaves.send(callerOf(context), leafId, message) };
  };
}
