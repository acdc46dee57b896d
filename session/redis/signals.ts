import { Subscription } from "../contract/subscription.ts";
import { type Client, listenerOf } from "./connect.ts";

/** Default of how often every subscriber looks for itself, whatever was heard. */
const FALLBACK_MS = 1000;

const NOBODY: ReadonlySet<Subscription> = new Set();

/**
 * Tells subscribers of this process about changes that any process made. One connection serves all of them, and it exists from the first
 * subscriber on. It only wakes: what there is to see, each subscriber reads from its own position.
 */
export class Signals {
  readonly #client: Client;
  readonly #fallbackMs: number;
  readonly #channels = new Map<string, Set<Subscription>>();
  readonly #patient = new Set<Subscription>();
  readonly #closed = Promise.withResolvers<void>();
  #listener: Client | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(client: Client, fallbackMs: number = FALLBACK_MS) {
    this.#client = client;
    this.#fallbackMs = fallbackMs;
  }

  /**
   * Hear of `channel` until the subscription is closed. Changes before this resolves may go unheard. Never rejects. One that is `patient` is not
   * woken by time alone: whoever has it looks for itself by other means.
   */
  async subscribe(channel: string, patient = false): Promise<Subscription> {
    const subscription: Subscription = new Subscription(() => this.#unsubscribe(channel, subscription));
    if (patient) this.#patient.add(subscription);
    this.#timer ??= setInterval(() => this.#wakeAll(this.#patient), this.#fallbackMs);
    const others = this.#channels.get(channel);
    if (others !== undefined) others.add(subscription);
    else this.#channels.set(channel, new Set([subscription]));
    // If Redis is away, the timer wakes until the connection is back and subscribed again by itself.
    await this.#listen()
      .subscribe(channel)
      .catch(() => undefined);
    return subscription;
  }

  /** Wake every subscriber and hear no more. */
  close(): void {
    clearInterval(this.#timer);
    this.#closed.resolve();
    if (this.#listener !== this.#client) this.#listener?.disconnect();
    this.#wakeAll();
  }

  #listen(): Client {
    if (this.#listener !== undefined) return this.#listener;
    const listener = listenerOf(this.#client);
    listener.on("message", (channel: string) => this.#wake(channel));
    // What happened while the connection was away was not heard.
    listener.on("ready", () => this.#wakeAll());
    this.#listener = listener;
    return listener;
  }

  #unsubscribe(channel: string, subscription: Subscription): void {
    this.#patient.delete(subscription);
    const others = this.#channels.get(channel);
    if (others?.delete(subscription) !== true || others.size > 0) return;
    this.#channels.delete(channel);
    if (this.#channels.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    this.#listener?.unsubscribe(channel).catch(() => undefined);
  }

  #wake(channel: string, except: ReadonlySet<Subscription> = NOBODY): void {
    for (const subscription of this.#channels.get(channel) ?? []) if (!except.has(subscription)) subscription.wake();
  }

  #wakeAll(except: ReadonlySet<Subscription> = NOBODY): void {
    for (const channel of this.#channels.keys()) this.#wake(channel, except);
  }
}
