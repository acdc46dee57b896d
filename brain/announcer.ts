import type { AgentEvent } from "@serverless-harness/pi-fork";
import type { NewEvent } from "@serverless-harness/session";
import { toLeafEvent } from "./leaf-events.ts";

/** Pieces of an answer are collected this long, or until something else happens. */
const TEXT_INTERVAL_MS = 100;
/** What a tool shows is announced no more often than this. */
const OUTPUT_INTERVAL_MS = 500;

type Text = Extract<AgentEvent, { kind: "text" }>;
type Output = Extract<AgentEvent, { kind: "tool_output" }>;

/** Writes an agent's events to its leaf's log: in order, one append at a time, chatter collected. */
export class Announcer {
  readonly #append: (events: readonly NewEvent[]) => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #ready: NewEvent[] = [];
  #text: Text | undefined;
  readonly #outputs = new Map<string, Output>();
  #textTimer: NodeJS.Timeout | undefined;
  #outputTimer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #failed = false;

  /** `onError` is told once, when an append fails; nothing is appended from then on. */
  constructor(append: (events: readonly NewEvent[]) => Promise<void>, onError: (error: unknown) => void) {
    this.#append = append;
    this.#onError = onError;
  }

  /** Announce an event, soon. */
  tell(event: AgentEvent): void {
    if (event.kind === "text") this.#collectText(event);
    else if (event.kind === "tool_output") this.#collectOutput(event);
    else {
      this.#closeText();
      if (event.kind === "tool_ended") this.#outputs.delete(event.invocationId);
      this.#ready.push(toLeafEvent(event));
      this.#write();
    }
  }

  /** Everything told so far is written, or can't be. */
  async flush(): Promise<void> {
    this.#closeText();
    this.#write();
    while (this.#writing !== undefined) await this.#writing;
  }

  /** What was told and is not yet written, to be written by the caller together with something else. Ends the announcer. */
  async drain(): Promise<NewEvent[]> {
    clearTimeout(this.#outputTimer);
    this.#outputs.clear();
    this.#closeText();
    await this.#writing;
    return this.#failed ? [] : this.#ready.splice(0);
  }

  #collectText(event: Text): void {
    if (this.#text !== undefined && this.#text.thinking !== event.thinking) this.#closeText();
    this.#text = { ...event, text: (this.#text?.text ?? "") + event.text };
    this.#textTimer ??= setTimeout(() => {
      this.#closeText();
      this.#write();
    }, TEXT_INTERVAL_MS);
  }

  #closeText(): void {
    clearTimeout(this.#textTimer);
    this.#textTimer = undefined;
    if (this.#text !== undefined) this.#ready.push(toLeafEvent(this.#text));
    this.#text = undefined;
  }

  #collectOutput(event: Output): void {
    this.#outputs.set(event.invocationId, event);
    this.#outputTimer ??= setTimeout(() => {
      this.#outputTimer = undefined;
      this.#ready.push(...[...this.#outputs.values()].map(toLeafEvent));
      this.#outputs.clear();
      this.#write();
    }, OUTPUT_INTERVAL_MS);
  }

  #write(): void {
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
  }

  async #writeAll(): Promise<void> {
    // What is told in the same breath is written in one step.
    await Promise.resolve();
    while (this.#ready.length > 0 && !this.#failed) {
      const events = this.#ready.splice(0);
      try {
        await this.#append(events);
      } catch (error) {
        this.#failed = true;
        this.#onError(error);
      }
    }
  }
}
