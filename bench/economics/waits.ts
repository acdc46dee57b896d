import { setTimeout as sleep } from "node:timers/promises";
import { DecisionKind, LeafKind, LeafState } from "@serverless-harness/proto/leaf";
import type { Stack } from "../parts/stack.ts";
import type { Life, Lifetimes } from "./lifetimes.ts";

/** How long a leaf waits for others than the model, in milliseconds. */
export interface Waits {
  /** For a human. */
  readonly gateMs: number;
  /** For a command. */
  readonly toolMs: number;
  /** A brain lets go of a leaf whose commands have run for so long. */
  readonly sleepAfterMs: number;
  /** An idle brain goes after so long. */
  readonly graceMs: number;
}

/** What a brain may take to end once its grace is over, in milliseconds. */
export const ENDING_MS = 750;

const CALL = (command: string): string =>
  `\`\`\`script\n${JSON.stringify({ steps: [{ tools: [{ name: "bash", input: { command } }] }, { text: "Done." }] })}\n\`\`\``;

/**
 * Have a leaf wait at a gate, then approve, but not before `mayApprove` resolves. Returns the stretch in which no brain is needed: from the
 * grace's end to the decision.
 */
export async function waitAtGate(
  { leaves }: Stack,
  { gateMs, graceMs }: Waits,
  mayApprove: () => Promise<void> = async () => {},
): Promise<Life> {
  let fromMs: number | undefined;
  let toMs: number | undefined;
  for await (const { event, leaf } of leaves.run({
    spec: { sessionId: "gate", kind: LeafKind.TURN, prompt: CALL("true"), gates: { tools: [{ tool: "bash" }] } },
  })) {
    if (event?.event.case !== "stateChanged" || event.event.value.state !== LeafState.AWAITING_APPROVAL) continue;
    fromMs = Number(event.timeMs) + graceMs + ENDING_MS;
    await sleep(graceMs + ENDING_MS + gateMs);
    await mayApprove();
    toMs = Date.now();
    const leafId = leaf?.leafId ?? event.leafId;
    const gateId = (await leaves.get({ leafId })).leaf?.openGates[0]?.gateId ?? "";
    await leaves.decide({ leafId, gateId, kind: DecisionKind.APPROVE });
  }
  return stretch(fromMs, toMs, "the leaf did not wait at its gate");
}

/**
 * Have a leaf wait for a command, which sleeps for `toolMs` unless another `wait` is given. Returns the stretch in which no brain is needed:
 * from the grace's end to the command's.
 */
export async function waitForTool(
  { leaves }: Stack,
  { toolMs, sleepAfterMs, graceMs }: Waits,
  wait = `sleep ${toolMs / 1000}`,
): Promise<Life> {
  let fromMs: number | undefined;
  let toMs: number | undefined;
  // The command tells when it was over, by its own clock.
  const prompt = CALL(`${wait}; date +%s%3N`);
  for await (const { event } of leaves.run({ spec: { sessionId: "tool", kind: LeafKind.TURN, prompt } })) {
    if (event?.event.case === "toolStarted") fromMs ??= Number(event.timeMs) + sleepAfterMs + graceMs + ENDING_MS;
    if (event?.event.case === "toolEnded") toMs = Number.parseInt(event.event.value.text, 10);
  }
  return stretch(fromMs, toMs, "the leaf's command did not run");
}

/** Both, one after the other, each of them alone. */
export async function brainsWhileWaiting(stack: Stack, lifetimes: Lifetimes, waits: Waits): Promise<{ gate: Life; tool: Life }> {
  const gate = await waitAtGate(stack, waits);
  await lifetimes.gone();
  const tool = await waitForTool(stack, waits);
  return { gate, tool };
}

function stretch(fromMs: number | undefined, toMs: number | undefined, otherwise: string): Life {
  if (fromMs === undefined || toMs === undefined || !(toMs > fromMs)) throw new Error(otherwise);
  return { fromMs, toMs };
}
