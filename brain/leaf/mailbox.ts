import type { Logger } from "@serverless-harness/kit/log";
import type { Agent, MessageSource } from "@serverless-harness/pi-fork";
import type { LeafMessage } from "@serverless-harness/proto/leaf";
import type { Claim, LeafStore } from "@serverless-harness/session";

/** What an agent asks about its leaf's messages. */
export function messageSource(store: LeafStore, claim: Claim, leaseMs: number): MessageSource {
  return {
    unread: async () => (await store.heartbeat(claim, leaseMs)).messages,
    delivered: (messageIds) => store.delivered(claim, messageIds),
  };
}

/** Hands a leaf's messages to its agent, as soon as there is one. The store has them until they are in the session's log, so none is lost here. */
export class Mailbox {
  readonly #log: Logger;
  #unread: readonly LeafMessage[];
  #agent: Agent | undefined;

  /** `unread`: as the leaf was claimed with them. */
  constructor(unread: readonly LeafMessage[], log: Logger) {
    this.#unread = unread;
    this.#log = log;
  }

  /** These are the messages that were not delivered. */
  arrived(unread: readonly LeafMessage[]): void {
    this.#unread = unread;
    this.#handOver();
  }

  /** The agent is there. */
  open(agent: Agent): void {
    this.#agent = agent;
    this.#handOver();
  }

  #handOver(): void {
    if (this.#unread.length === 0) return;
    // What does not get through is brought again with the next heartbeat.
    this.#agent?.deliver(this.#unread).catch((error: unknown) => this.#log.warn({ err: error }, "messages could not be delivered"));
  }
}
