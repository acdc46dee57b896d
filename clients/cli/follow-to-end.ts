import { toJson } from "@bufbuild/protobuf";
import { FailureReason, type Leaf, LeafEventSchema, LeafState, type StateChanged } from "@serverless-harness/proto/leaf";
import type { Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";
import { followLeaf, isTerminal } from "./follow.ts";
import { interruptible } from "./interrupt.ts";
import { Silence } from "./silence.ts";
import type { EventView } from "./view/event-view.ts";
import { leafJson } from "./view/leaf-text.ts";
import { nameOf, stateName } from "./view/names.ts";

type Ending = Pick<StateChanged, "state" | "failure">;

/**
 * Show a leaf's events behind `afterSeq` to its end: to a human by `view`, else as JSON lines, the leaf itself first. Throws where the
 * leaf ended without a result.
 */
export async function followToEnd(
  context: Context,
  leaf: Leaf,
  afterSeq: bigint,
  timeoutSeconds: number,
  view: EventView,
): Promise<ExitCode> {
  const { out } = context;
  if (out.json) out.document({ leaf: leafJson(leaf) }, true);
  // Behind its last event nothing comes any more: the record tells how it ended.
  if (isTerminal(leaf.state) && afterSeq >= leaf.lastSeq) return exitCodeOf(leaf.leafId, leaf);
  let end: Ending | undefined;
  const interrupt = interruptible(timeoutSeconds, () => `the leaf goes on, follow it with \`leaf watch ${leaf.leafId}\``);
  const silence = out.json ? undefined : new Silence(context, leaf.leafId);
  try {
    for await (const event of followLeaf(context, leaf.leafId, afterSeq, interrupt.signal)) {
      silence?.heard(event);
      if (out.json) out.document({ event: toJson(LeafEventSchema, event) }, true);
      else view.show(event);
      if (event.event.case === "stateChanged") end = event.event.value;
    }
  } finally {
    silence?.end();
    interrupt.release();
  }
  if (!out.json) view.end();
  return exitCodeOf(leaf.leafId, end);
}

function exitCodeOf(leafId: string, end: Ending | undefined): ExitCode {
  if (end?.state === LeafState.DONE) return ExitCode.ok;
  const reason = end?.failure === undefined ? undefined : nameOf(FailureReason, end.failure.reason);
  const state = end === undefined ? "unknown" : stateName(end.state);
  const why = reason === undefined ? "" : `: ${reason}: ${end?.failure?.message.split("\n", 1)[0]}`;
  throw new CliError(ExitCode.leafFailed, reason ?? `leaf_${state}`, `${leafId} ${state === "failed" ? state : `was ${state}`}${why}`);
}
