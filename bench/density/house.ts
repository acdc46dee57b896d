import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { QUICK_START } from "@serverless-harness/kit/quick-start";
import { bundleOf, COMPILED } from "@serverless-harness/kit/testing/services";
import { LeafKind, LeafSpecSchema } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { type ModelProcess, startModelProcess } from "../parts/model.ts";
import { type Scratch, scratch, startProgram, stopProgram } from "../parts/process.ts";
import { type Sandbox, startSandbox } from "../parts/sandbox.ts";

const POLL_MS = 50;
/** Every leaf of a crowd has its request open within this time, or something is wrong. */
const PATIENCE_MS = 60_000;

/** A store, a sandbox and a model, in which brains are started by hand. */
export class House implements AsyncDisposable {
  readonly store: LeafStore;
  readonly #files: Scratch;
  readonly #model: ModelProcess;
  readonly #sandbox: Sandbox;
  readonly #brains = new Set<ChildProcess>();

  static async open(jail: boolean): Promise<House> {
    const files = await scratch();
    const store = await openLeafStore(`sqlite:${files.path("leaf.db")}`);
    return new House(store, files, await startModelProcess(), await startSandbox(jail));
  }

  private constructor(store: LeafStore, files: Scratch, model: ModelProcess, sandbox: Sandbox) {
    this.store = store;
    this.#files = files;
    this.#model = model;
    this.#sandbox = sandbox;
  }

  /** Returns the leaf's id. */
  async submit(prompt: string): Promise<string> {
    const spec = create(LeafSpecSchema, { tenant: "bench", kind: LeafKind.TURN, prompt });
    return (await this.store.submit({ spec, idempotencyKey: "" })).leaf.leafId;
  }

  /** Start a brain that runs so many leaves at once; returns its pid. */
  startBrain(concurrency: number): number {
    const brain = startProgram(
      bundleOf("brain"),
      this.#log,
      {
        LEAF_STORE: `sqlite:${this.#files.path("leaf.db")}`,
        HANDS_URL: this.#sandbox.address,
        ANTHROPIC_BASE_URL: this.#model.url,
        ANTHROPIC_AUTH_TOKEN: "bench",
        BRAIN_CONCURRENCY: String(concurrency),
        LOG_LEVEL: "warn",
        ...COMPILED,
      },
      QUICK_START,
    );
    this.#brains.add(brain);
    if (brain.pid === undefined) throw new Error("the brain could not be started");
    return brain.pid;
  }

  /** Resolves when so many requests at the model wait for their answer, or for the rest of it. */
  async untilOpen(requests: number): Promise<void> {
    for (const until = Date.now() + PATIENCE_MS; ; await sleep(POLL_MS)) {
      const open = (await this.#model.requests()).filter(({ outcome }) => outcome === "open").length;
      if (open === requests) return;
      if ([...this.#brains].some(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null))
        throw new Error(`a brain ended before ${requests} requests were open at the model`);
      if (Date.now() > until) throw new Error(`${open} requests are open at the model, not ${requests}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Whichever of them fails, none of the others is left behind.
    const brains = await Promise.allSettled([...this.#brains].map((brain) => stopProgram(brain, this.#log)));
    const rest = await Promise.allSettled([this.store.close(), this.#sandbox.close(), this.#model.stop(), this.#files.remove()]);
    for (const result of [...brains, ...rest]) if (result.status === "rejected") throw result.reason;
  }

  get #log(): string {
    return this.#files.path("brain.log");
  }
}
