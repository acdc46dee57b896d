import type { LeafState } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { labels, stateName, states, wholeNumber } from "../parse.ts";
import { ago, firstLine } from "../view/format.ts";
import { leafJson, paintState } from "../view/leaf-text.ts";
import { table } from "../view/table.ts";

interface Options extends CommonOptions {
  readonly state?: LeafState[];
  readonly session?: string;
  readonly label?: Record<string, string>;
  readonly limit: number;
  readonly page?: string;
}

/** `leaf list`: the newest leaves, filtered. */
export function addList(program: Command): void {
  addCommand<Options>(program, {
    name: "list",
    summary: "list leaves, newest first",
    options: (command) =>
      command
        .option("--state <state>", "only in this state; may be repeated", states)
        .option("--session <id>", "only of this session")
        .option("--label <key=value>", "only with this label; may be repeated", labels)
        .option("--limit <n>", "at most this many", wholeNumber(1, 1000), 20)
        .option("--page <token>", "the page behind an earlier one"),
    run: runList,
  });
}

async function runList(context: Context, _args: readonly string[], options: Options): Promise<ExitCode> {
  const { out } = context;
  const { leaves, nextPageToken } = await withDispatcher(context, (service) =>
    service.list({
      states: options.state ?? [],
      sessionId: options.session ?? "",
      labels: options.label ?? {},
      pageSize: options.limit,
      pageToken: options.page ?? "",
    }),
  );
  if (out.json) {
    out.document({ leaves: leaves.map(leafJson), ...(nextPageToken === "" ? {} : { nextPageToken }) });
    return ExitCode.ok;
  }
  if (leaves.length === 0) out.note("no leaves");
  const rows = leaves.map((leaf) => [
    leaf.leafId,
    paintState(leaf.state, stateName(leaf.state), out.color),
    leaf.spec?.sessionId ?? "",
    ago(Number(leaf.createdAtMs)),
    firstLine(leaf.spec?.prompt ?? "", 50),
  ]);
  for (const line of table(["LEAF", "STATE", "SESSION", "AGE", "PROMPT"], rows, out.color)) out.line(line);
  if (nextPageToken !== "") out.note(`more: --page ${nextPageToken}`);
  return ExitCode.ok;
}
