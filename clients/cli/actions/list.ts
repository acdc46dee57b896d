import type { ListOptions } from "../commands/list.ts";
import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { ExitCode } from "../exit-codes.ts";
import { ago, firstLine } from "../view/format.ts";
import { leafJson, paintState } from "../view/leaf-text.ts";
import { stateName, stateOf } from "../view/names.ts";
import { table } from "../view/table.ts";

/** Does `leaf list`. */
export async function runList(context: Context, _args: readonly string[], options: ListOptions): Promise<ExitCode> {
  const { out } = context;
  const { leaves, nextPageToken } = await withDispatcher(context, (service) =>
    service.list({
      states: (options.state ?? []).map(stateOf),
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
