import { create } from "@bufbuild/protobuf";
import { compiledSources } from "@serverless-harness/kit/compiled";
import { LeafKind, LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { BareNode } from "./baseline/bare-node.ts";
import type { Benchmark } from "./benchmark.ts";
import { bundleOf, ROOT } from "./parts/bundle.ts";
import { type ModelProcess, startModelProcess } from "./parts/model.ts";
import { type Scratch, scratch, startProgram, stopProgram } from "./parts/process.ts";
import { type Sandbox, startSandbox } from "./parts/sandbox.ts";
import { Samples } from "./report/samples.ts";

/** What a brain needs around it. */
interface Surroundings {
  readonly store: LeafStore;
  readonly model: ModelProcess;
  readonly sandbox: Sandbox;
  readonly files: Scratch;
}

/** A brain's first moments, milliseconds since the Unix epoch. */
interface Start {
  /** Before the process was spawned. */
  readonly spawnedMs: number;
  /** By the brain's own account. */
  readonly startedMs: number;
  /** Its first event on the leaf's log. */
  readonly eventMs: number;
  /** Its first request at the model. */
  readonly requestMs: number;
}

/** From the start of a brain's process to its first event and its first model request, next to a Node that does nothing. */
export const coldstart: Benchmark = async ({ quick, jail, progress }) => {
  const files = await scratch();
  const model = await startModelProcess();
  const sandbox = await startSandbox(jail);
  const store = await openLeafStore(`sqlite:${files.path("leaf.db")}`);
  const node = new BareNode();
  const samples = new Samples();
  const runs = quick ? 10 : 50;
  try {
    // The first start reads everything from the disk; all the others find it in memory.
    await startOnce({ store, model, sandbox, files });
    for (let run = 1; run <= runs; run++) {
      progress(`start ${run} of ${runs}`);
      const start = await startOnce({ store, model, sandbox, files });
      samples.add("first_request_ms", [start.requestMs - start.startedMs]);
      samples.add("first_event_ms", [start.eventMs - start.startedMs]);
      samples.add("spawn_to_request_ms", [start.requestMs - start.spawnedMs]);
      samples.add("node_ms", await node.run({ kind: "run", count: 1, argv: [process.execPath, "-e", "0"] }));
    }
  } finally {
    await node.close();
    await store.close();
    await sandbox.close();
    await model.stop();
    await files.remove();
  }
  return samples.report("coldstart", { "first_request/node": ["first_request_ms", "node_ms"] });
};

/** Submit a leaf, start a brain for it, and wait until it is done. */
async function startOnce({ store, model, sandbox, files }: Surroundings): Promise<Start> {
  const spec = create(LeafSpecSchema, { tenant: "bench", kind: LeafKind.TURN, prompt: "Hello" });
  const { leaf } = await store.submit({ spec, idempotencyKey: "" });
  const log = files.path("brain.log");
  const spawnedMs = Date.now();
  const brain = startProgram(bundleOf("brain"), log, {
    LEAF_STORE: `sqlite:${files.path("leaf.db")}`,
    HANDS_URL: sandbox.address,
    ANTHROPIC_BASE_URL: model.url,
    ANTHROPIC_AUTH_TOKEN: "bench",
    LOG_LEVEL: "warn",
    ...compiledSources(ROOT),
  });
  const early = new AbortController();
  brain.once("exit", () => early.abort());
  let seen: Awaited<ReturnType<typeof followToEnd>>;
  try {
    seen = await followToEnd(store, leaf.leafId, early.signal);
  } finally {
    await stopProgram(brain, log);
  }
  const request = (await model.requests()).find((record) => record.at_ms >= spawnedMs);
  if (request === undefined) throw new Error("the model saw no request");
  return { spawnedMs, ...seen, requestMs: request.at_ms };
}

/** Follow the leaf until it is done; anything but a straight way there is an error. */
async function followToEnd(store: LeafStore, leafId: string, signal: AbortSignal): Promise<Pick<Start, "startedMs" | "eventMs">> {
  let start: Pick<Start, "startedMs" | "eventMs"> | undefined;
  for await (const { event, timeMs } of store.follow(leafId, 0n, signal)) {
    if (event.case !== "stateChanged") continue;
    const { state, worker, failure } = event.value;
    if (state === LeafState.RUNNING) start ??= { startedMs: Number(worker?.startedAtMs), eventMs: Number(timeMs) };
    if (state === LeafState.DONE && start !== undefined) return start;
    if (failure !== undefined) throw new Error(`the leaf failed: ${failure.message}`);
  }
  throw new Error("the brain went away before the leaf was done");
}
