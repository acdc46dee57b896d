import { create } from "@bufbuild/protobuf";
import { QUICK_START } from "@serverless-harness/kit/quick-start";
import { bundleOf, COMPILED } from "@serverless-harness/kit/testing/services";
import { LeafKind, LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import type { ModelProcess } from "../parts/model.ts";
import { type Scratch, startProgram, stopProgram } from "../parts/process.ts";
import type { Sandbox } from "../parts/sandbox.ts";

/** Whose leaves all of these are. */
export const TENANT = "bench";

/** What a brain needs around it. */
export interface Surroundings {
  readonly store: LeafStore;
  readonly model: ModelProcess;
  readonly sandbox: Sandbox;
  readonly files: Scratch;
}

/** A brain's first moments, milliseconds since the Unix epoch. */
export interface Start {
  /** Before the process was spawned. */
  readonly spawnedMs: number;
  /** By the brain's own account. */
  readonly startedMs: number;
  /** Its first event on the leaf's log. */
  readonly eventMs: number;
  /** Its first request at the model. */
  readonly requestMs: number;
  /** Messages in that. */
  readonly messages: number;
}

type Moments = Pick<Start, "startedMs" | "eventMs">;

/** Submit a leaf, on a session of its own where none is named, start a brain for it, and wait until it is done. */
export async function startOnce({ store, model, sandbox, files }: Surroundings, sessionId = ""): Promise<Start> {
  const spec = create(LeafSpecSchema, { tenant: TENANT, sessionId, kind: LeafKind.TURN, prompt: "Hello" });
  const { leaf } = await store.submit({ spec, idempotencyKey: "" });
  const log = files.path("brain.log");
  const spawnedMs = Date.now();
  const brain = startProgram(
    bundleOf("brain"),
    log,
    {
      LEAF_STORE: `sqlite:${files.path("leaf.db")}`,
      HANDS_URL: sandbox.address,
      ANTHROPIC_BASE_URL: model.url,
      ANTHROPIC_AUTH_TOKEN: "bench",
      LOG_LEVEL: "warn",
      ...COMPILED,
    },
    QUICK_START,
  );
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
  return { spawnedMs, ...seen, requestMs: request.at_ms, messages: request.messages };
}

/** Follow the leaf until it is done; anything but a straight way there is an error. */
async function followToEnd(store: LeafStore, leafId: string, signal: AbortSignal): Promise<Moments> {
  let start: Moments | undefined;
  for await (const { event, timeMs } of store.follow(leafId, 0n, signal)) {
    if (event.case !== "stateChanged") continue;
    const { state, worker, failure } = event.value;
    if (state === LeafState.RUNNING) start ??= { startedMs: Number(worker?.startedAtMs), eventMs: Number(timeMs) };
    if (state === LeafState.DONE && start !== undefined) return start;
    if (failure !== undefined) throw new Error(`the leaf failed: ${failure.message}`);
  }
  throw new Error("the brain went away before the leaf was done");
}
