import type { Command } from "commander";
import { addCommand, addGroup } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { wholeNumber } from "../parse.ts";

/** Options of `leaf webhook list`. */
export interface WebhookListOptions extends CommonOptions {
  readonly tenant?: string;
  readonly limit: number;
  readonly page?: string;
}

/** `leaf webhook`: messages to other systems that could not be delivered. */
export function addWebhook(program: Command): void {
  const description =
    "A webhook that no receiver took after all attempts is a dead letter: it is kept with its leaf, and can be sent again.";
  const group = addGroup(program, "webhook", "list and resend webhooks that were given up", description);
  addCommand<WebhookListOptions>(group, {
    name: "webhook list",
    summary: "list dead letters, those of the newest leaves first",
    options: (command) =>
      command
        .option("--tenant <name>", "whose (default: your token's tenant; the operator's is default)")
        .option("--limit <n>", "at most this many", wholeNumber(1, 1000), 50)
        .option("--page <token>", "the page behind an earlier one"),
    run: async (...given) => (await import("../actions/webhook.ts")).runList(...given),
  });
  addCommand<CommonOptions>(group, {
    name: "webhook resend",
    usage: "<leaf_id> <seq>",
    summary: "deliver a dead letter again",
    run: async (context, args) => (await import("../actions/webhook.ts")).runResend(context, args),
  });
}
