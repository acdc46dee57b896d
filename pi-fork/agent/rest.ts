import type { ToolCall } from "../tools/tool.ts";

/** Tools whose work goes on in the sandbox by itself, under the id of their call. */
const DETACHABLE: ReadonlySet<string> = new Set(["bash"]);

/** All that an agent does at present: it waits for people, and for commands. */
export interface Rest {
  readonly gateIds: readonly string[];
  /** Execs that have run for a while already. */
  readonly execIds: readonly string[];
  /** For how long one of them had written nothing when this agent found it running, in milliseconds. 0: this agent started all of them. */
  readonly silentMs: number;
}

/**
 * Notices when an agent does nothing but wait: each of its tool calls is held at a gate, or is a command that has run for `sleepAfterMs`, whichever
 * agent started it. Then it can be let go of, and costs nothing until it goes on.
 */
export class RestWatch {
  readonly #running: () => readonly ToolCall[];
  readonly #sleepAfterMs: number | undefined;
  readonly #onRest: (rest: Rest) => void;
  readonly #atGates = new Set<string>();
  /** Since when commands run that the sandbox has, by `performance.now()`; `undefined`: one is over. */
  readonly #beganAt = new Map<string, number | undefined>();
  readonly #silentMs = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** Without `sleepAfterMs`, commands are waited for however long they run. `onRest` is called once. */
  constructor(running: () => readonly ToolCall[], sleepAfterMs: number | undefined, onRest: (rest: Rest) => void) {
    this.#running = running;
    this.#sleepAfterMs = sleepAfterMs;
    this.#onRest = onRest;
  }

  /** A tool call is held at a gate from now on. */
  held(invocationId: string): void {
    this.#atGates.add(invocationId);
    this.changed();
  }

  /** The sandbox has a command, which had run for this many milliseconds by now, and was silent for the last of them; `undefined`: it is over. */
  ran(execId: string, forMs: number | undefined, silentMs = 0): void {
    this.#silentMs.set(execId, silentMs);
    this.#beganAt.set(execId, forMs === undefined ? undefined : performance.now() - forMs);
    this.changed();
  }

  /** A tool call began or ended. */
  changed(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    // Calls of one answer begin in the same moment: none is looked at alone.
    this.#timer = setTimeout(() => this.#look(), 0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #look(): void {
    const calls = this.#running();
    if (calls.length === 0) return;
    const now = performance.now();
    let waitMs = 0;
    const execIds: string[] = [];
    for (const { invocationId, tool } of calls) {
      if (this.#atGates.has(invocationId)) continue;
      if (this.#sleepAfterMs === undefined || !DETACHABLE.has(tool)) return;
      const began = this.#beganAt.get(invocationId);
      // Nobody could tell of its end, or its end is on its way.
      if (began === undefined) return;
      waitMs = Math.max(waitMs, began + this.#sleepAfterMs - now);
      execIds.push(invocationId);
    }
    if (waitMs > 0) {
      this.#timer = setTimeout(() => this.#look(), Math.ceil(waitMs));
      return;
    }
    this.stop();
    this.#onRest({
      gateIds: calls.map(({ invocationId }) => invocationId).filter((id) => this.#atGates.has(id)),
      execIds,
      silentMs: Math.max(0, ...execIds.map((id) => this.#silentMs.get(id) ?? 0)),
    });
  }
}
