import { openLeafStore } from "@serverless-harness/session";
import { BareNode } from "./baseline/bare-node.ts";
import type { Benchmark } from "./benchmark.ts";
import { makeLongSession } from "./coldstart/long-session.ts";
import { type Start, type Surroundings, startOnce } from "./coldstart/start.ts";
import { wakeOnce } from "./coldstart/wake.ts";
import { Lifetimes } from "./economics/lifetimes.ts";
import { startModelProcess } from "./parts/model.ts";
import { scratch } from "./parts/process.ts";
import { startSandbox } from "./parts/sandbox.ts";
import { startStack } from "./parts/stack.ts";
import { Samples } from "./report/samples.ts";

const LONG = "long";
/** More messages than this are no compacted session. */
const MOST_MESSAGES = 500;

/**
 * From the start of a brain's process to its first event and its first model request, on a new session and on one of 10,000 entries, next to a
 * Node that does nothing; then from an approval to the model request behind it.
 */
export const coldstart: Benchmark = async ({ quick, jail, progress }) => {
  const samples = new Samples();
  const runs = quick ? 10 : 50;
  await surrounded(jail, async (around, storeUrl) => {
    progress("a session of 10,000 entries");
    await makeLongSession(around.store, storeUrl, LONG, "10k");
    const node = new BareNode();
    try {
      // The first start reads everything from the disk; all the others find it in memory.
      for (let run = 0; run <= runs; run++) {
        progress(`start ${run} of ${runs}`);
        const [fresh, long] = [await startOnce(around), await startOnce(around, LONG)];
        const nodeMs = await node.run({ kind: "run", count: 1, argv: [process.execPath, "-e", "0"] });
        if (run > 0) addStarts(samples, fresh, long, nodeMs);
      }
    } finally {
      await node.close();
    }
  });
  samples.add("wake_ms", await wakes(jail, runs, progress));
  return samples.report("coldstart", {
    "first_request/node": ["first_request_ms", "node_ms"],
    "resume_10k/empty": ["resume_10k_ms", "first_request_ms"],
    "wake/first_request": ["wake_ms", "first_request_ms"],
  });
};

function addStarts(samples: Samples, fresh: Start, long: Start, nodeMs: readonly number[]): void {
  if (long.messages > MOST_MESSAGES) throw new Error(`the long session was not opened at its compaction: ${long.messages} messages`);
  const [first, resume] = [fresh.requestMs - fresh.startedMs, long.requestMs - long.startedMs];
  samples.add("first_request_ms", [first]);
  samples.add("first_event_ms", [fresh.eventMs - fresh.startedMs]);
  samples.add("spawn_to_request_ms", [fresh.requestMs - fresh.spawnedMs]);
  samples.add("resume_10k_ms", [resume]);
  samples.add("resume_10k_more_ms", [resume - first]);
  samples.add("node_ms", nodeMs);
}

/** What brains that are started by hand need. */
async function surrounded(jail: boolean, use: (around: Surroundings, storeUrl: string) => Promise<void>): Promise<void> {
  const files = await scratch();
  const storeUrl = `sqlite:${files.path("leaf.db")}`;
  const store = await openLeafStore(storeUrl);
  const model = await startModelProcess();
  const sandbox = await startSandbox(jail);
  try {
    await use({ store, model, sandbox, files }, storeUrl);
  } finally {
    await store.close();
    await sandbox.close();
    await model.stop();
    await files.remove();
  }
}

/** Brains that a dispatcher starts, one for each half of a leaf. */
async function wakes(jail: boolean, count: number, progress: (line: string) => void): Promise<number[]> {
  const stack = await startStack(jail, { BRAIN_GRACE_MS: "0" });
  const lifetimes = new Lifetimes(stack.dispatcherPid);
  try {
    await wakeOnce(stack, lifetimes);
    const samples: number[] = [];
    for (let wake = 1; wake <= count; wake++) {
      progress(`wake ${wake} of ${count}`);
      samples.push(await wakeOnce(stack, lifetimes));
    }
    return samples;
  } finally {
    lifetimes.stop();
    await stack.close();
  }
}
