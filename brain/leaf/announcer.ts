import type { AgentEvent, EventBatch, LeafEvents } from "@serverless-harness/pi-fork";
import type { NewEvent } from "@serverless-harness/session";
import { type PlacedEvent, toLeafEvent } from "./leaf-events.ts";

/** Pieces of an answer are collected this long, or until something else happens. */
const TEXT_INTERVAL_MS = 100;
/** A commit takes along what was collected for that long: pieces of an answer are committed as often as they are announced, or nearly. */
const TEXT_RIDES_AFTER_MS = 80;
/** What a tool shows is announced no more often than this. */
const OUTPUT_INTERVAL_MS = 500;
/** What is ready waits this long for a commit of its session to go with; then it goes alone. */
const HOLD_MS = 20;

type Text = Extract<AgentEvent, { kind: "text" }>;
type Output = Extract<AgentEvent, { kind: "tool_output" }>;

/** What an {@link Announcer} writes to. */
export interface AnnouncerOptions {
  readonly leafId: string;
  readonly append: (events: readonly NewEvent[]) => Promise<void>;
  /** Told once, when events could not be written, or may have been; nothing is written from then on. */
  readonly onError: (error: unknown) => void;
}

/** Writes an agent's events to its leaf's log: in order, one step at a time, with a commit if one comes, chatter collected. */
export class Announcer implements LeafEvents {
  readonly leafId: string;
  readonly #options: AnnouncerOptions;
  #ready: NewEvent[] = [];
  #text: Text | undefined;
  #textSince = 0;
  readonly #outputs = new Map<string, Output>();
  #textTimer: NodeJS.Timeout | undefined;
  #outputTimer: NodeJS.Timeout | undefined;
  #holdTimer: NodeJS.Timeout | undefined;
  /** The step that is under way: an append of its own, or a commit's. */
  #writing: Promise<void> | undefined;
  /** What is ready waits for no commit. */
  #urgent = false;
  #over = false;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    this.leafId = options.leafId;
  }

  /** Announce an event, soon. */
  tell(event: AgentEvent | PlacedEvent): void {
    if (event.kind === "text") this.#collectText(event);
    else if (event.kind === "tool_output") this.#collectOutput(event);
    else {
      this.#closeText();
      if (event.kind === "tool_ended") this.#outputs.delete(event.invocationId);
      this.#ready.push(toLeafEvent(event));
      // What it announces goes on without a commit, and may outlive this process.
      if (event.kind === "tool_started") this.#urgent = true;
      this.#hold();
    }
  }

  take(limit: number): EventBatch | undefined {
    if (this.#writing !== undefined || this.#over) return undefined;
    if (performance.now() - this.#textSince >= TEXT_RIDES_AFTER_MS) this.#closeText();
    if (this.#ready.length === 0) return undefined;
    const events = this.#ready.splice(0, limit);
    this.#urgent = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#writing = promise;
    const end = (): void => {
      this.#writing = undefined;
      resolve();
      this.#hold();
    };
    return {
      events,
      written: end,
      failed: (error, unsure) => {
        // Some have no key that would keep a second writing of them from being seen.
        if (unsure) this.#fail(error);
        else this.#ready.unshift(...events);
        this.#urgent ||= events.some(({ event }) => event.case === "toolStarted");
        end();
      },
    };
  }

  /** Everything told so far is written, or can't be. */
  async flush(): Promise<void> {
    this.#closeText();
    while (this.#writing !== undefined || (this.#ready.length > 0 && !this.#over)) await (this.#writing ?? this.#write());
  }

  /** What was told and is not yet written, to be written by the caller together with something else. Ends the announcer. */
  async drain(): Promise<NewEvent[]> {
    clearTimeout(this.#outputTimer);
    this.#outputs.clear();
    this.#closeText();
    while (this.#writing !== undefined) await this.#writing;
    const left = this.#over ? [] : this.#ready.splice(0);
    this.#end();
    return left;
  }

  #collectText(event: Text): void {
    if (this.#text !== undefined && this.#text.thinking !== event.thinking) this.#closeText();
    if (this.#text === undefined) this.#textSince = performance.now();
    this.#text = { ...event, text: (this.#text?.text ?? "") + event.text };
    this.#textTimer ??= setTimeout(() => this.#closeText(), TEXT_INTERVAL_MS);
  }

  #closeText(): void {
    clearTimeout(this.#textTimer);
    this.#textTimer = undefined;
    if (this.#text === undefined) return;
    this.#ready.push(toLeafEvent(this.#text));
    this.#text = undefined;
    this.#hold();
  }

  #collectOutput(event: Output): void {
    this.#outputs.set(event.invocationId, event);
    this.#outputTimer ??= setTimeout(() => {
      this.#outputTimer = undefined;
      this.#ready.push(...[...this.#outputs.values()].map(toLeafEvent));
      this.#outputs.clear();
      this.#hold();
    }, OUTPUT_INTERVAL_MS);
  }

  /** See to it that what is ready is written. */
  #hold(): void {
    if (this.#ready.length === 0 || this.#over) return;
    if (this.#urgent && this.#writing === undefined) {
      // What is told in the same breath goes with it.
      queueMicrotask(() => {
        if (this.#urgent && this.#writing === undefined) void this.#write();
      });
      return;
    }
    this.#holdTimer ??= setTimeout(() => {
      this.#holdTimer = undefined;
      if (this.#writing === undefined) void this.#write();
    }, HOLD_MS);
  }

  /** Write what is ready in a step of its own. */
  #write(): Promise<void> {
    const events = this.#over ? [] : this.#ready.splice(0);
    this.#urgent = false;
    if (events.length === 0) return Promise.resolve();
    this.#writing = this.#options
      .append(events)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#writing = undefined;
        this.#hold();
      });
    return this.#writing;
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#end();
    this.#options.onError(error);
  }

  #end(): void {
    this.#over = true;
    this.#ready = [];
    clearTimeout(this.#holdTimer);
    this.#holdTimer = undefined;
  }
}
