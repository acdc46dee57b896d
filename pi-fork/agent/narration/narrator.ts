import type { AgentHarness, Entry } from "@earendil-works/pi-agent-core";
import type { Usage } from "@earendil-works/pi-ai";
import { type ToolCall, type ToolObserver, textOf } from "../../tools/tool.ts";
import type { AgentEvent } from "../log/events.ts";
import {
  answerEvent,
  answerOf,
  compactedEvent,
  discardedEvent,
  eventsOf,
  hasPieces,
  isCut,
  modelCallsIn,
  type OperationHistory,
  toolEndedEvent,
  toolResultOf,
  usageOf,
} from "../log/history.ts";
import { type AgentUsage, addUsage, NO_USAGE, sumOf } from "../log/usage.ts";
import type { InterruptedAnswers } from "../usage/interrupted.ts";
import type { ExpectedResult } from "./expected-result.ts";
import type { UnfinishedAnswers } from "./unfinished.ts";

/** Tells what an agent does, in events of our own, and counts what it uses. */
export class Narrator implements ToolObserver {
  readonly #tell: (event: AgentEvent) => void;
  readonly #started = new Set<string>();
  readonly #ended = new Set<string>();
  /** Running calls by the only name that Pi's events give them. */
  readonly #running = new Map<string, ToolCall[]>();
  /** Arguments of the newest answer's tool calls, by the calls' ids. */
  #calls: ReadonlyMap<string, unknown> = new Map();
  #resumed: ReadonlySet<string> = new Set();
  #pieces = false;
  #usage = NO_USAGE;
  #inherited = NO_USAGE;
  #requests = 0;
  #interrupted = false;
  /** The entry that was committed last. */
  #newest: Entry | undefined;

  #silent = false;
  readonly #interruptedAnswers: InterruptedAnswers;
  readonly #expected: ExpectedResult | undefined;
  readonly #unfinished: UnfinishedAnswers | undefined;

  /** `expected` and `unfinished` take note of the operation's entries. */
  constructor(
    tell: (event: AgentEvent) => void,
    interruptedAnswers: InterruptedAnswers,
    expected?: ExpectedResult,
    unfinished?: UnfinishedAnswers,
  ) {
    this.#tell = tell;
    this.#interruptedAnswers = interruptedAnswers;
    this.#expected = expected;
    this.#unfinished = unfinished;
  }

  /** Tell and count nothing of what happens in `work`: it belongs to somebody else. */
  async silently(work: () => Promise<void>): Promise<void> {
    this.#silent = true;
    try {
      await work();
    } finally {
      this.#silent = false;
    }
  }

  /** What the operation used since its beginning. */
  get usage(): AgentUsage {
    return this.#usage;
  }

  /** Requests to the model that this agent made since the last answer. */
  get requests(): number {
    return this.#requests;
  }

  /** Tool calls that began in this agent and have not ended. */
  get running(): readonly ToolCall[] {
    return [...this.#running.values()].flat();
  }

  /** The newest answer was cut by the end of another agent, not by the model. */
  get interrupted(): boolean {
    return this.#interrupted;
  }

  /** Count in what an operation used that is over; with `counts`, what it handed in counts as well. */
  inherit(entries: readonly Entry[], counts: boolean): void {
    this.#interruptedAnswers.begin(0);
    const used = usageOf(entries, (entry) => this.#interruptedAnswers.add(entry));
    this.#interruptedAnswers.begin(0);
    this.#inherited = sumOf(this.#inherited, used);
    if (counts) for (const entry of entries) this.#expected?.note(entry);
  }

  /** Take an operation up where its log stands. `pending`: the tool calls that had begun and not ended. */
  resume({ before, entries, contextTokens, usage }: OperationHistory, pending: ReadonlySet<string>): void {
    this.#resumed = pending;
    this.#interruptedAnswers.begin(contextTokens);
    this.#usage = usageOf(entries, (entry) => this.#interruptedAnswers.add(entry), usage);
    for (const entry of entries) this.#note(entry);
    for (const event of eventsOf(entries, before)) {
      if (event.kind === "tool_started") this.#started.add(event.invocationId);
      if (event.kind === "tool_ended") this.#ended.add(event.invocationId);
      this.#tell(event);
    }
    const newest = entries.at(-1);
    this.#newest = newest ?? before;
    const answer = answerOf(newest);
    if (newest !== undefined && answer !== undefined && isCut(answer) && hasPieces(answer)) this.#tell(discardedEvent(newest.id, answer));
    if (entries.length > 0) this.#tellUsage();
  }

  /** Listen to a harness. */
  attach(harness: AgentHarness<never>): void {
    harness.events.on("message_update", ({ event }) => {
      if (event.type === "text_delta") this.#piece(event.delta, false);
      else if (event.type === "thinking_delta") this.#piece(event.delta, true);
    });
    harness.events.on("entry_added", (event) => this.#entry(event.entry, event.recovery === true));
    harness.events.on("usage", ({ row }) => this.#spent(row.usage));
    harness.events.on("tool_end", ({ turnId, toolCallId, result, isError }) => {
      const call = this.#running.get(`${turnId} ${toolCallId}`)?.shift();
      if (call === undefined) return;
      const { invocationId, tool } = call;
      this.#end({ kind: "tool_ended", invocationId, tool, text: textOf(result.content), isError });
    });
  }

  /** A request to the model begins. */
  request(model: string, attempt: number): void {
    this.#requests++;
    this.#interrupted = false;
    this.#pieces = false;
    this.#tell({ kind: "model_call", model, attempt });
  }

  started(call: ToolCall): void {
    const key = `${call.turnId} ${call.toolCallId}`;
    this.#running.set(key, [...(this.#running.get(key) ?? []), call]);
    this.#begin(call);
  }

  output(invocationId: string, text: string): void {
    if (text !== "" && !this.#ended.has(invocationId)) this.#tell({ kind: "tool_output", invocationId, text });
  }

  #piece(text: string, thinking: boolean): void {
    this.#pieces = true;
    this.#tell({ kind: "text", text, thinking });
  }

  #entry(entry: Entry, recovery: boolean): void {
    const before = this.#newest;
    this.#newest = entry;
    if (this.#silent) return;
    this.#note(entry);
    const estimated = this.#interruptedAnswers.add(entry);
    if (estimated !== undefined) this.#spent(estimated);
    this.#usage = { ...this.#usage, modelCalls: this.#usage.modelCalls + modelCallsIn(entry) };
    if (entry.type === "compaction") {
      this.#requests = 0;
      this.#tell(compactedEvent(entry, before));
    }
    const answer = answerOf(entry);
    if (answer !== undefined && isCut(answer)) {
      this.#interrupted = recovery;
      // Whether the agent that is gone told of pieces, nobody knows.
      if (this.#pieces || recovery) this.#tell(discardedEvent(entry.id, answer));
    } else if (answer !== undefined) {
      this.#calls = new Map(answer.content.flatMap((part) => (part.type === "toolCall" ? [[part.id, part.arguments]] : [])));
      this.#requests = 0;
      this.#tell(answerEvent(entry.id, answer));
    }
    const result = toolResultOf(entry);
    if (result === undefined) return;
    // A call that was refused before it could act never reported itself.
    const { toolName: tool, toolCallId } = result;
    if (!this.#started.has(entry.id)) this.#begin({ invocationId: entry.id, tool, args: this.#calls.get(toolCallId) });
    this.#end(toolEndedEvent(entry.id, result));
  }

  #note(entry: Entry): void {
    this.#expected?.note(entry);
    this.#unfinished?.note(entry);
  }

  #begin({ invocationId, tool, args }: Pick<ToolCall, "invocationId" | "tool" | "args">): void {
    this.#started.add(invocationId);
    const started = { kind: "tool_started", invocationId, tool, args, resumed: false } as const;
    this.#tell(started);
    // The agent that is gone may have died before it told that the call began, so that is told first.
    if (this.#resumed.has(invocationId)) this.#tell({ ...started, resumed: true });
  }

  #end(event: Extract<AgentEvent, { kind: "tool_ended" }>): void {
    if (this.#ended.has(event.invocationId)) return;
    this.#ended.add(event.invocationId);
    this.#tell(event);
  }

  #spent(recorded: Usage): void {
    if (this.#silent || recorded.totalTokens === 0) return;
    this.#usage = addUsage(this.#usage, recorded);
    this.#tellUsage();
  }

  #tellUsage(): void {
    this.#tell({ kind: "usage", usage: sumOf(this.#inherited, this.#usage) });
  }
}
