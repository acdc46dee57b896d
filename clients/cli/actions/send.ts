import { create, toJson } from "@bufbuild/protobuf";
import { LeafMessageSchema, MessageMode } from "@serverless-harness/proto/leaf";
import type { SendOptions } from "../commands/send.ts";
import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { readText } from "../parse.ts";
import { userName } from "../user.ts";

/** Does `leaf send`. */
export async function runSend(
  context: Context,
  [leafId = "", argument = ""]: readonly string[],
  { followUp = false, id: messageId = "", by = userName() }: SendOptions,
): Promise<ExitCode> {
  const text = await readText("message", argument);
  const mode = followUp ? MessageMode.FOLLOW_UP : MessageMode.STEER;
  const { message = create(LeafMessageSchema) } = await withDispatcher(context, (leaves) =>
    leaves.send({ leafId, text, mode, messageId, sentBy: by }),
  );
  if (context.out.json) context.out.document({ message: toJson(LeafMessageSchema, message) });
  else context.out.line(`sent: ${message.messageId}`);
  return ExitCode.ok;
}
