import { toJson } from "@bufbuild/protobuf";
import { DecisionKind, GateSchema, type Leaf } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { withDispatcher } from "../dispatcher/call.ts";
import { CliError, ExitCode } from "../errors.ts";
import { userName } from "../user.ts";
import { emptyLeaf, gateText } from "../view/leaf-text.ts";

interface DecideOptions extends CommonOptions {
  readonly gate?: string;
  readonly feedback?: string;
  readonly by?: string;
}

/** By the command's name: the decision, and the word for it when it is made. */
const DECISIONS: Readonly<Record<string, { readonly kind: DecisionKind; readonly done: string }>> = {
  approve: { kind: DecisionKind.APPROVE, done: "approved" },
  reject: { kind: DecisionKind.REJECT, done: "rejected" },
  abort: { kind: DecisionKind.ABORT, done: "aborted" },
};

/** `leaf approve`, `leaf reject` and `leaf abort`: answer what a leaf asks. */
export function add(command: Command): void {
  const { kind = DecisionKind.UNSPECIFIED, done = "" } = DECISIONS[command.name()] ?? {};
  define<DecideOptions>(command, {
    description: "`leaf get` shows what it asks. The first answer counts.",
    options: (given) =>
      given
        .option("--gate <id>", "the question, if the leaf asks several")
        .option("--feedback <text>", "what the model is told with it")
        .option("--by <name>", "who decides; default: you"),
    run: async (context, [leafId = ""], { gate: named, feedback = "", by: decidedBy = userName() }) => {
      const { gate } = await withDispatcher(context, async ({ leaves }) => {
        const gateId = named ?? onlyGate(emptyLeaf((await leaves.get({ leafId })).leaf));
        return leaves.decide({ leafId, gateId, kind, feedback, decidedBy });
      });
      if (context.out.json) context.out.document({ gate: gate === undefined ? {} : toJson(GateSchema, gate) });
      else if (gate !== undefined) context.out.line(`${done}: ${gateText(gate).replaceAll("\n", "\n  ")}`);
    },
  });
}

/** The gate that is meant if none is named. */
function onlyGate({ leafId, openGates }: Leaf): string {
  const [gate, another] = openGates;
  if (gate === undefined) throw new CliError(ExitCode.refused, "no_open_gate", `the leaf ${leafId} asks nothing at present`);
  if (another === undefined) return gate.gateId;
  const message = `the leaf asks several things, name one with --gate: ${openGates.map(({ gateId }) => gateId).join(", ")}`;
  throw new CliError(ExitCode.usage, "gate_required", message);
}
