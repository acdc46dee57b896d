import { create, toJson } from "@bufbuild/protobuf";
import { LeafMessageSchema, MessageMode } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { readText } from "../options/values.ts";
import { userName } from "../user.ts";

interface SendOptions extends CommonOptions {
  readonly followUp?: boolean;
  readonly id?: string;
  readonly by?: string;
}

/** `leaf send`: say something to a leaf that is not over. */
export function add(command: Command): void {
  define<SendOptions>(command, {
    description:
      "The agent reads it before its next request to the model, after tool calls that have begun. A leaf that waits reads it when it goes on. " +
      "`-` is standard input.",
    options: (given) =>
      given
        .option("--follow-up", "the agent reads it when it would be done, and continues with it")
        .option("--id <id>", "the message's name: a second message with the same name is not sent")
        .option("--by <name>", "who says it; default: you"),
    run: async (context, [leafId = "", argument = ""], { followUp = false, id: messageId = "", by: sentBy = userName() }) => {
      const text = await readText("message", argument);
      const mode = followUp ? MessageMode.FOLLOW_UP : MessageMode.STEER;
      const { message = create(LeafMessageSchema) } = await withDispatcher(context, ({ leaves }) =>
        leaves.send({ leafId, text, mode, messageId, sentBy }),
      );
      context.out.answer({ message: toJson(LeafMessageSchema, message) }, `sent: ${message.messageId}`);
    },
  });
}
