import { type AgentLane, BACKGROUND_CONTEXT as CONTEXT, laneState, pendingEntry, type Session } from "@earendil-works/pi-agent-core";
import type { UserMessage } from "@earendil-works/pi-ai";
import { type LeafMessage, MessageMode } from "@serverless-harness/proto/leaf";
import { entriesBehind } from "./log/history.ts";
import { readOpenOperation } from "./log/lane-log.ts";

/** Where an agent's messages come from. */
export interface MessageSource {
  /** Those that were not delivered, oldest first. */
  readonly unread: () => Promise<readonly LeafMessage[]>;
  /** They are in the session's log: nobody has to keep them any more. */
  readonly delivered: (messageIds: readonly string[]) => Promise<void>;
}

/** Nobody says anything. */
export const SILENCE: MessageSource = { unread: async () => [], delivered: async () => undefined };

/**
 * Puts what humans say to an agent into its conversation, in order and once: Pi's log holds what is lined up and what was read, each with the
 * message's time, which names it. So an agent that takes over from one that was killed between Pi's commit and `delivered` finds it there.
 */
export class Inbox {
  readonly #lane: AgentLane;
  readonly #session: Session;
  readonly #source: MessageSource;
  readonly #begun = Promise.withResolvers<string | undefined>();
  #pending: Promise<unknown> = Promise.resolve();
  /** What the log has. */
  #known: Set<string> | undefined;
  #shut = false;
  #open = false;

  constructor(lane: AgentLane, session: Session, source: MessageSource) {
    this.#lane = lane;
    this.#session = session;
    this.#source = source;
  }

  /** The operation is open. Resolves when what was brought before this is in the log. */
  async begin(operationId: string): Promise<void> {
    this.#open = true;
    this.#begun.resolve(operationId);
    await this.#pending;
  }

  /** Bring messages; those that were brought before are passed over. Before the operation is open they wait for it, after its end nothing is taken. */
  deliver(messages: readonly LeafMessage[]): Promise<void> {
    return this.#inTurn(async () => void (await this.#take(messages)));
  }

  /** The operation would be done now: look for messages once more. If there are none, no more are taken, unless it goes on after all. */
  async lastCall(): Promise<void> {
    // Another leaf's operation, which is being ended first, does not concern it.
    if (!this.#open) return;
    await this.#inTurn(async () => {
      if (!(await this.#take(await this.#source.unread()))) this.#shut = true;
    });
  }

  /** The operation goes on. */
  goOn(): void {
    this.#shut = false;
  }

  /** Take no more. Resolves when nothing is on its way. */
  async close(): Promise<void> {
    this.#shut = true;
    this.#begun.resolve(undefined);
    await this.#pending;
  }

  /** An operation that ended before its time leaves what was lined up for it: the session's next one is not meant. */
  async clear(): Promise<void> {
    for (const { kind, entryId } of await this.#queue()) {
      if (kind === "steer" || kind === "followUp") await this.#lane.cancelQueued(entryId, CONTEXT);
    }
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#pending.then(work);
    this.#pending = result.catch(() => undefined);
    return result;
  }

  /** Tells whether something was new. */
  async #take(messages: readonly LeafMessage[]): Promise<boolean> {
    const operationId = await this.#begun.promise;
    if (operationId === undefined || messages.length === 0) return false;
    const inLog: string[] = [];
    let some = false;
    try {
      this.#known ??= await this.#read(operationId);
      for (const message of messages) {
        if (this.#shut) break;
        if (!this.#known.has(nameOf(userMessage(message)))) {
          if (!(await this.#enqueue(message))) break;
          some = true;
        }
        inLog.push(message.messageId);
      }
    } finally {
      if (inLog.length > 0) await this.#source.delivered(inLog);
    }
    return some;
  }

  async #enqueue(message: LeafMessage): Promise<boolean> {
    const said = userMessage(message);
    const queued =
      message.mode === MessageMode.FOLLOW_UP
        ? await this.#lane.followUp(said, undefined, CONTEXT)
        : await this.#lane.steer(said, undefined, CONTEXT);
    if (queued.ok) this.#known?.add(nameOf(said));
    return queued.ok;
  }

  /** What is lined up first, then what was read: Pi takes from the one to the other meanwhile. */
  async #read(operationId: string): Promise<Set<string>> {
    const waiting = await Promise.all((await this.#queue()).map(({ entryId }) => this.#session.getValue(pendingEntry(entryId), CONTEXT)));
    const { fromTipId } = await readOpenOperation(this.#session, operationId);
    const { entries: read } = await entriesBehind(this.#lane, fromTipId);
    const messages = [
      ...waiting.flatMap((stored) => (stored?.value.type === "message" ? [stored.value.payload] : [])),
      ...read.flatMap((entry) => (entry.type === "message" ? [entry.message] : [])),
    ];
    return new Set(messages.flatMap((message) => (message.role === "user" ? [nameOf(message)] : [])));
  }

  async #queue() {
    return (await this.#session.getValue(laneState(this.#lane.name), CONTEXT))?.value.inbox ?? [];
  }
}

function userMessage({ text, sentAtMs }: LeafMessage): UserMessage & { readonly content: string } {
  return { role: "user", content: text, timestamp: Number(sentAtMs) };
}

/** A leaf's messages have times of their own; what else its log holds of users has other words. */
function nameOf({ timestamp, content }: UserMessage): string {
  return `${timestamp} ${typeof content === "string" ? content : JSON.stringify(content)}`;
}
