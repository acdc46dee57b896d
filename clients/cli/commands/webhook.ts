import { toJson } from "@bufbuild/protobuf";
import { DeadLetterSchema } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { addCommand, defineGroup } from "../command.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { CliError, ExitCode } from "../errors.ts";
import { addPageOptions, type PageOptions } from "../options/values.ts";
import { showPage } from "../view/format.ts";

interface ListOptions extends PageOptions {
  readonly tenant?: string;
}

/** `leaf webhook`: messages to other systems that could not be delivered. */
export function add(group: Command): void {
  defineGroup(group, "A webhook that no receiver took in all attempts is a dead letter: it is kept with its leaf, and can be sent again.");
  addCommand<ListOptions>(group, "list", "list dead letters, those of the newest leaves first", {
    options: (command) =>
      addPageOptions(command, 1000, 50).option("--tenant <name>", "whose (default: your token's tenant; the operator's is default)"),
    run: async (context, _args, { tenant = "", limit: pageSize, page: pageToken = "" }) => {
      const { deadLetters, nextPageToken } = await withDispatcher(context, ({ webhooks }) =>
        webhooks.listDeadLetters({ tenant, pageSize, pageToken }),
      );
      const rows = deadLetters.flatMap(({ leafId, seq, deliveries }) =>
        deliveries.map(({ target, attempts, error, delivered }) => [
          leafId,
          String(seq),
          target,
          String(attempts),
          delivered ? "delivered" : error,
        ]),
      );
      const documents = deadLetters.map((letter) => toJson(DeadLetterSchema, letter));
      const things = { key: "deadLetters", name: "dead letters", documents };
      showPage(context.out, things, nextPageToken, ["LEAF", "SEQ", "TARGET", "ATTEMPTS", "ERROR"], rows);
    },
  });
  addCommand(group, "resend <leaf_id> <seq>", "deliver a dead letter again", {
    run: async (context, [leafId = "", seq = ""]) => {
      if (!/^[1-9]\d{0,17}$/.test(seq))
        throw new CliError(ExitCode.usage, "usage", "the seq must be a number: `leaf webhook list` shows it");
      await withDispatcher(context, ({ webhooks }) => webhooks.resend({ leafId, seq: BigInt(seq) }));
      context.out.answer({ leafId, seq }, `sent again: ${leafId} ${seq}`);
    },
  });
}
