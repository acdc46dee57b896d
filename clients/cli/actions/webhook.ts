import { toJson } from "@bufbuild/protobuf";
import { DeadLetterSchema } from "@serverless-harness/proto/leaf";
import type { WebhookListOptions } from "../commands/webhook.ts";
import type { Context } from "../context.ts";
import { withWebhooks } from "../dispatcher.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { table } from "../view/table.ts";

/** Does `leaf webhook list`. */
export async function runList(context: Context, _args: readonly string[], options: WebhookListOptions): Promise<ExitCode> {
  const { out } = context;
  const { tenant = "", limit: pageSize, page: pageToken = "" } = options;
  const { deadLetters, nextPageToken } = await withWebhooks(context, (webhooks) =>
    webhooks.listDeadLetters({ tenant, pageSize, pageToken }),
  );
  if (out.json) {
    const letters = deadLetters.map((letter) => toJson(DeadLetterSchema, letter));
    out.document({ deadLetters: letters, ...(nextPageToken === "" ? {} : { nextPageToken }) });
    return ExitCode.ok;
  }
  if (deadLetters.length === 0) out.note("no dead letters");
  const rows = deadLetters.flatMap(({ leafId, seq, deliveries }) =>
    deliveries.map(({ target, attempts, error, delivered }) => [
      leafId,
      String(seq),
      target,
      String(attempts),
      delivered ? "delivered" : error,
    ]),
  );
  if (rows.length > 0) for (const line of table(["LEAF", "SEQ", "TARGET", "ATTEMPTS", "ERROR"], rows, out.color)) out.line(line);
  if (nextPageToken !== "") out.note(`more: --page ${nextPageToken}`);
  return ExitCode.ok;
}

/** Does `leaf webhook resend`. */
export async function runResend(context: Context, [leafId = "", seq = ""]: readonly string[]): Promise<ExitCode> {
  if (!/^[1-9]\d{0,17}$/.test(seq)) throw new CliError(ExitCode.usage, "usage", "the seq must be a number: `leaf webhook list` shows it");
  await withWebhooks(context, (webhooks) => webhooks.resend({ leafId, seq: BigInt(seq) }));
  if (context.out.json) context.out.document({ leafId, seq });
  else context.out.line(`sent again: ${leafId} ${seq}`);
  return ExitCode.ok;
}
