import { setTimeout as sleep } from "node:timers/promises";
import { DecisionKind, LeafKind, LeafState } from "@serverless-harness/proto/leaf";
import type { Lifetimes } from "../economics/lifetimes.ts";
import type { Stack } from "../parts/stack.ts";

const SCRIPT = { steps: [{ tools: [{ name: "bash", input: { command: "true" } }] }, { text: "Done." }] };
const PROMPT = `\`\`\`script\n${JSON.stringify(SCRIPT)}\n\`\`\``;

/** What a human takes at least, in milliseconds. Sooner, the dispatcher has to do with the end of the brain before, and holds such hasty ones back. */
const HUMAN_MS = 200;

/**
 * Milliseconds from an approval to the next request at the model, of a leaf whose brain is gone: the decision is stored, a brain is started, it
 * opens the session, makes the call and asks the model.
 */
export async function wakeOnce({ leaves, model }: Stack, lifetimes: Lifetimes): Promise<number> {
  let decidedMs: number | undefined;
  await lifetimes.gone();
  await sleep(HUMAN_MS);
  const spec = { kind: LeafKind.TURN, prompt: PROMPT, gates: { tools: [{ tool: "bash" }] } };
  for await (const { event } of leaves.run({ spec })) {
    if (event?.event.case !== "stateChanged") continue;
    if (event.event.value.state === LeafState.DONE) break;
    if (event.event.value.state !== LeafState.AWAITING_APPROVAL) continue;
    await lifetimes.gone();
    await sleep(HUMAN_MS);
    const gate = (await leaves.get({ leafId: event.leafId })).leaf?.openGates[0];
    decidedMs = Date.now();
    await leaves.decide({ leafId: event.leafId, gateId: gate?.gateId ?? "", kind: DecisionKind.APPROVE });
  }
  const since = decidedMs;
  const request = since === undefined ? undefined : (await model.requests()).find(({ at_ms }) => at_ms >= since);
  if (since === undefined || request === undefined) throw new Error("the leaf did not come from its gate to the model");
  return request.at_ms - since;
}
