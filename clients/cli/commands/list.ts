import { LeafState } from "@serverless-harness/proto/leaf";
import { type Command, InvalidArgumentError } from "commander";
import { define } from "../command.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { addPageOptions, labels, type PageOptions } from "../options/values.ts";
import { ago, firstLine, showPage } from "../view/format.ts";
import { leafJson, paintState, stateName } from "../view/leaf-text.ts";

interface ListOptions extends PageOptions {
  readonly state?: LeafState[];
  readonly session?: string;
  readonly label?: Record<string, string>;
}

const STATES: readonly LeafState[] = Object.values(LeafState).filter((state) => state !== LeafState.UNSPECIFIED);

/** `leaf list`: the newest leaves, filtered. */
export function add(command: Command): void {
  define<ListOptions>(command, {
    options: (given) =>
      addPageOptions(given, 1000, 20)
        .option("--state <state>", "only in this state; may be repeated", states)
        .option("--session <id>", "only of this session")
        .option("--label <key=value>", "only with this label; may be repeated", labels),
    run: async (context, _args, { state = [], session = "", label = {}, limit, page = "" }) => {
      const { leaves, nextPageToken } = await withDispatcher(context, (dispatcher) =>
        dispatcher.leaves.list({ states: state, sessionId: session, labels: label, pageSize: limit, pageToken: page }),
      );
      const rows = leaves.map((leaf) => [
        leaf.leafId,
        paintState(leaf.state, context.out.color),
        leaf.spec?.sessionId ?? "",
        ago(Number(leaf.createdAtMs)),
        firstLine(leaf.spec?.prompt ?? "", 50),
      ]);
      const things = { key: "leaves", name: "leaves", documents: leaves.map(leafJson) };
      showPage(context.out, things, nextPageToken, ["LEAF", "STATE", "SESSION", "AGE", "PROMPT"], rows);
    },
  });
}

function states(text: string, sofar: readonly LeafState[] = []): LeafState[] {
  const state = STATES.find((each) => stateName(each) === text.toLowerCase());
  if (state === undefined) throw new InvalidArgumentError(`It must be one of ${STATES.map(stateName).join(", ")}.`);
  return [...sofar, state];
}
