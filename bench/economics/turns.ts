import { setTimeout as sleep } from "node:timers/promises";
import { LeafKind, LeafState } from "@serverless-harness/proto/leaf";
import type { Stack } from "../parts/stack.ts";
import type { Life } from "./lifetimes.ts";

/** An agent that is asked now and then. */
export interface Workload {
  readonly turns: number;
  /** From the end of a turn to the next. */
  readonly gapMs: number;
  /** How long the model takes for its answer. */
  readonly modelMs: number;
}

/** From a turn's submission to its end. */
export interface Turn extends Life {
  /** The request arrived at the model. */
  readonly requestMs: number;
}

/** Take the turns on one session, a gap behind each; `progress` is told of each. */
export async function takeTurns(stack: Stack, workload: Workload, progress: (turn: number) => void): Promise<Turn[]> {
  const turns: Turn[] = [];
  for (let turn = 1; turn <= workload.turns; turn++) {
    progress(turn);
    turns.push(await takeTurn(stack, turn, workload.modelMs));
    await sleep(workload.gapMs);
  }
  return turns;
}

async function takeTurn(stack: Stack, turn: number, modelMs: number): Promise<Turn> {
  const fromMs = Date.now();
  const script = JSON.stringify({ steps: [{ text: `Answer ${turn}.`, delay_ms: modelMs }] });
  await runToEnd(stack, `Turn ${turn}.\n\`\`\`script\n${script}\n\`\`\``);
  const toMs = Date.now();
  const request = (await stack.model.requests()).find(({ at_ms }) => at_ms >= fromMs);
  if (request === undefined) throw new Error("the model saw no request");
  return { fromMs, toMs, requestMs: request.at_ms };
}

/** Throws unless the leaf is done. */
async function runToEnd({ leaves }: Stack, prompt: string): Promise<void> {
  for await (const { event } of leaves.run({ spec: { sessionId: "idle-heavy", kind: LeafKind.TURN, prompt } })) {
    if (event?.event.case !== "stateChanged") continue;
    const { state, failure } = event.event.value;
    if (failure !== undefined) throw new Error(`a turn failed: ${failure.message}`);
    if (state === LeafState.DONE) return;
  }
  throw new Error("a turn did not come to its end");
}
