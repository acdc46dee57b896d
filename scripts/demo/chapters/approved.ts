import { DecisionKind, LeafState } from "@serverless-harness/proto/leaf";
import { type Finding, time } from "../claims.ts";
import { all, find, type World, workers } from "../world.ts";

/** Counts its runs by what each leaves in the workspace. */
const COMMAND = "echo deployed >> deploys; echo deploy number $(wc -l < deploys)";

/** A command that waits for a human: the brain goes, the human approves, and another brain goes on in that very call. */
export async function approved(world: World): Promise<Finding> {
  let decision: Promise<{ atMs: number; brains: number }> | undefined;
  const gates = { tools: [{ tool: "bash", arguments: "deploys" }] };
  const turn = await world.turn(`Run: ${COMMAND}`, {
    spec: { gates },
    onEvent: ({ leafId, event }) => {
      if (event.case === "stateChanged" && event.value.state === LeafState.AWAITING_APPROVAL) decision ??= approve(world, leafId);
    },
  });
  if (decision === undefined) throw new Error("the command was run, and nobody was asked");
  const { atMs, brains } = await decision;
  const [first, second] = workers(turn);
  const ended = find(turn, "toolEnded");
  const runs = Number(/deploy number (\d+)/.exec(ended?.value.text ?? "")?.[1] ?? Number.NaN);
  const after_ms = (ended?.atMs ?? Number.NaN) - atMs;
  return {
    holds:
      brains === 0 &&
      runs === 1 &&
      after_ms >= 0 &&
      second !== undefined &&
      first?.pid !== second.pid &&
      all(turn, "gateOpened").length === 1,
    seen: `${brains} brains lived when it was approved; brain pid ${second?.pid} ran the command ${time(after_ms)} later, ${runs === 1 ? "once" : `${runs} times`}`,
    measured: { brains, runs, after_ms },
  };
}

/** Once nobody is left who could notice. */
async function approve(world: World, leafId: string): Promise<{ atMs: number; brains: number }> {
  await world.noBrain();
  const gateId = (await world.leaves.get({ leafId })).leaf?.openGates[0]?.gateId ?? "";
  const brains = world.processes("brain").length;
  const atMs = Date.now();
  await world.leaves.decide({ leafId, gateId, kind: DecisionKind.APPROVE, decidedBy: "demo" });
  return { atMs, brains };
}
