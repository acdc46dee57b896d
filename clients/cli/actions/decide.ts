import { toJson } from "@bufbuild/protobuf";
import { DecisionKind, GateSchema, type Leaf } from "@serverless-harness/proto/leaf";
import type { Answer, DecideOptions } from "../commands/decide.ts";
import type { Context } from "../context.ts";
import { withDispatcher } from "../dispatcher.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { userName } from "../user.ts";
import { emptyLeaf, gateText } from "../view/leaf-text.ts";

const KINDS: Readonly<Record<Answer, DecisionKind>> = {
  approve: DecisionKind.APPROVE,
  reject: DecisionKind.REJECT,
  abort: DecisionKind.ABORT,
};

const DONE: Readonly<Record<Answer, string>> = { approve: "approved", reject: "rejected", abort: "aborted" };

/** Does `leaf approve`, `leaf reject` and `leaf abort`. */
export async function runDecide(
  context: Context,
  [leafId = ""]: readonly string[],
  { gate: named, feedback = "", by = userName() }: DecideOptions,
  answer: Answer,
): Promise<ExitCode> {
  const { gate } = await withDispatcher(context, async (leaves) => {
    const gateId = named ?? onlyGate(emptyLeaf((await leaves.get({ leafId })).leaf));
    return leaves.decide({ leafId, gateId, kind: KINDS[answer], feedback, decidedBy: by });
  });
  if (context.out.json) context.out.document({ gate: gate === undefined ? {} : toJson(GateSchema, gate) });
  else if (gate !== undefined) context.out.line(`${DONE[answer]}: ${gateText(gate).replaceAll("\n", "\n  ")}`);
  return ExitCode.ok;
}

/** The gate that is meant where none is named. */
function onlyGate({ leafId, openGates }: Leaf): string {
  const [gate, another] = openGates;
  if (gate !== undefined && another === undefined) return gate.gateId;
  const asks = openGates.map(({ gateId }) => gateId).join(", ");
  const message =
    gate === undefined ? `the leaf ${leafId} asks nothing at present` : `the leaf asks several things, name one with --gate: ${asks}`;
  throw new CliError(
    gate === undefined ? ExitCode.refused : ExitCode.usage,
    gate === undefined ? "no_open_gate" : "gate_required",
    message,
  );
}
