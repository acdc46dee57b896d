import { setTimeout as sleep } from "node:timers/promises";
import { DecisionKind, LeafKind, LeafState } from "@serverless-harness/proto/leaf";
import type { Stack } from "../parts/stack.ts";

/** Loops that each run one leaf after the other. */
const LOOPS = 3;
/**
 * From the begin of a loop's leaf to that of its next one, in milliseconds: longer than a leaf takes on a machine that is busy with other things, so that
 * what is kept and what is removed don't follow the machine's pace.
 */
const EVERY_MS = 3000;
/** Between two looks for the first leaf's end, in milliseconds. */
const POLL_MS = 50;
/** A session takes so many leaves, then the loop begins another one. */
const LEAVES_PER_SESSION = 5;

/** What the load came to so far. */
export interface Progress {
  readonly leaves: number;
  readonly sessions: number;
}

/** Leaves of every kind at a constant rate, until it is stopped. */
export class Load {
  readonly #stack: Stack;
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[];
  #leaves = 0;
  #sessions = 0;

  constructor(stack: Stack) {
    this.#stack = stack;
    this.#loops = Array.from({ length: LOOPS }, (_, loop) => this.#loop(loop));
    // Whoever stops the load is told; until then a loop's failure is not unhandled.
    for (const loop of this.#loops) loop.catch(() => undefined);
  }

  get progress(): Progress {
    return { leaves: this.#leaves, sessions: this.#sessions };
  }

  /** Resolves after the first leaf, when every service is up. */
  async begun(): Promise<void> {
    while (this.#leaves === 0) await sleep(POLL_MS);
  }

  /** Rejects with a loop's failure, as soon as there is one. */
  async failed(): Promise<never> {
    await Promise.all(this.#loops);
    return await new Promise(() => undefined);
  }

  /** Let every loop end its leaf. Rejects if a leaf was not done. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  async #loop(loop: number): Promise<void> {
    for (let i = 0; !this.#stop.signal.aborted; i++) {
      const next = performance.now() + EVERY_MS;
      if (i % LEAVES_PER_SESSION === 0) this.#sessions++;
      const prompt = PROMPTS[(i + loop) % PROMPTS.length] ?? "";
      await this.#run(`soak-${loop}-${Math.floor(i / LEAVES_PER_SESSION)}`, prompt, prompt === ASKS);
      this.#leaves++;
      await sleep(Math.max(0, next - performance.now()), undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  /** Run a leaf to its end, and approve what it asks for. */
  async #run(sessionId: string, prompt: string, asks: boolean): Promise<void> {
    const { leaves } = this.#stack;
    const spec = { sessionId, kind: LeafKind.TURN, prompt, ...(asks ? { gates: { tools: [{ tool: "bash" }] } } : {}) };
    let leafId = "";
    for await (const { event, leaf } of leaves.run({ spec })) {
      leafId ||= leaf?.leafId ?? "";
      if (event?.event.case === "gateOpened")
        await leaves.decide({ leafId, gateId: event.event.value.gate?.gateId ?? "", kind: DecisionKind.APPROVE });
      if (event?.event.case !== "stateChanged") continue;
      const { state, failure } = event.event.value;
      if (state === LeafState.DONE) return;
      if (failure !== undefined && state === LeafState.FAILED) throw new Error(`leaf ${leafId} failed: ${failure.message}`);
    }
    throw new Error(`leaf ${leafId} did not come to its end`);
  }
}

const bash = (command: string) => ({ name: "bash", input: { command } });

/** A command that waits for a human. */
const ASKS = scripted([{ tools: [bash("echo approved")] }, { text: "Done." }]);

const PROMPTS: readonly string[] = [
  scripted([{ tools: [bash("date >> log; tail -n 1 log")] }, { text: "It is {{last_tool_result}}" }]),
  scripted([
    { tools: [{ name: "write", input: { path: "notes.md", content: "# Notes\n\nfirst\n" } }] },
    { tools: [{ name: "edit", input: { path: "notes.md", edits: [{ oldText: "first", newText: "second" }] } }] },
    { tools: [{ name: "read", input: { path: "notes.md" } }] },
    { text: "Edited." },
  ]),
  ASKS,
  scripted([{ tools: [bash("head -c 300000 /dev/zero | base64")] }, { text: "Much." }]),
  scripted([{ tools: [bash("sleep 0.2; echo a"), bash("echo b"), bash("head -c 100000 /dev/urandom > blob")] }, { text: "All three." }]),
];

function scripted(steps: readonly object[]): string {
  return `Work.\n\`\`\`script\n${JSON.stringify({ steps })}\n\`\`\``;
}
