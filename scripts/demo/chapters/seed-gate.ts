import { randomUUID } from "node:crypto";
import { type Finding, time } from "../claims.ts";
import type { World } from "../world.ts";

/** What the stand-in model does, in the words that it takes: it hands its verdict in at once, unasked. A real model does what it thinks is right. */
const SCRIPT = {
  steps: [{ tools: [{ name: "submit_verdict", input: { item_id: "i1", verdict: "FLAGGED", reason: "it calls eval" } }] }],
};

/** An answer of `/runs`. */
interface Run {
  readonly status: string;
  readonly gateId?: number;
  readonly verdict?: { readonly item_id: string; readonly verdict: string };
}

/** What a client of the seed system sends: an envelope whose item needs approval, and then the same one with a decision in it. */
export async function seedGate(world: World): Promise<Finding> {
  const pattern = world.info.standIn ? `eval(\n\n\`\`\`script\n${JSON.stringify(SCRIPT)}\n\`\`\`` : "eval(";
  const item = { item_id: "i1", file: "risky.py", pattern, require_approval: true };
  const envelope = { sessionId: `demo-${randomUUID()}/i1`, item };
  const held = await run(world, envelope);
  const atMs = Date.now();
  const done = await run(world, { ...envelope, decision: { gateId: held.gateId, action: "approve" } });
  const after_ms = Date.now() - atMs;
  const again = await run(world, envelope);
  const sameVerdict = JSON.stringify(again) === JSON.stringify(done);
  return {
    holds: held.status === "paused" && held.gateId === 0 && done.status === "done" && done.verdict?.item_id === "i1" && sameVerdict,
    seen: `the envelope was ${held.status} at gate ${held.gateId}; the same one with {"action": "approve"} was ${done.status} ${time(after_ms)} later: ${done.verdict?.verdict}; once more, ${sameVerdict ? "it brought the same verdict" : `it was ${again.status}`}`,
    measured: { after_ms, held: held.status, done: done.status },
  };
}

async function run(world: World, envelope: object): Promise<Run> {
  const answer = await world.post("/runs", envelope);
  if (answer.status !== 200) throw new Error(`/runs answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Run;
}
