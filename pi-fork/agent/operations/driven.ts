import { setTimeout as sleep } from "node:timers/promises";
import { type AgentLane, BACKGROUND_CONTEXT as CONTEXT } from "@earendil-works/pi-agent-core";
import type { AgentFailure } from "../log/failure.ts";

/** Why an operation is ended before its time. */
export type Verdict =
  /** Nothing more can come of it. */
  | { readonly kind: "failed"; readonly failure: AgentFailure }
  | { readonly kind: "cancelled" }
  /** By a human's answer at a gate. */
  | { readonly kind: "aborted" };

/** The operation that an agent drives, and whether it is being ended before its time. */
export class DrivenOperation {
  readonly #lane: AgentLane;
  readonly #poke = new AbortController();
  #id: string | undefined;
  #verdict: Verdict | undefined;
  #ending = false;

  constructor(lane: AgentLane) {
    this.#lane = lane;
  }

  /** `undefined` as long as none is open. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Why it is being ended before its time. */
  get verdict(): Verdict | undefined {
    return this.#verdict;
  }

  /** It is being ended, for the verdict or because it is done. */
  get ending(): boolean {
    return this.#ending;
  }

  /** This is the one from now on. */
  is(id: string): void {
    this.#id = id;
  }

  /** End it, for this reason if there is none yet. */
  stop(verdict: Verdict): void {
    if (this.#verdict !== undefined) return;
    this.#verdict = verdict;
    this.end();
  }

  /** End it: nothing new begins in it any more. */
  end(): void {
    this.#ending = true;
    this.wakeUp();
    void this.requestAbort().catch(() => undefined);
  }

  /** If it is to be ended, have Pi note it in the log. Before anything is awaited, nothing new can begin. */
  async requestAbort(): Promise<void> {
    if (!this.#ending || this.#id === undefined) return;
    await this.#lane.requestAbort(this.#id, CONTEXT);
  }

  /** Until a time, milliseconds since the Unix epoch, or until there is no reason to wait any more. */
  async sleepUntil(untilMs: number): Promise<undefined> {
    const wait = Math.max(0, untilMs - Date.now());
    await sleep(wait, undefined, { signal: this.#poke.signal }).catch(() => undefined);
  }

  /** Nobody waits any more. */
  wakeUp(): void {
    this.#poke.abort();
  }
}
