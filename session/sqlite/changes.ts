import type { FSWatcher } from "node:fs";
import { LeafState } from "@serverless-harness/proto/leaf";
import { Subscription } from "../contract/subscription.ts";
import type { Connection } from "./connection.ts";
import type { SignalFile } from "./signal-file.ts";

/** Default of how often every subscriber looks for itself, whatever the watch says. */
const FALLBACK_MS = 1000;
/** The same if the system grants no watch (its inotify limit is reached). */
const NO_WATCH_MS = 25;

const NEWEST = "SELECT coalesce(max(id), 0) AS id FROM harness_events";
const CHANGES = "SELECT changes FROM harness_queue";
const SINCE = "SELECT id, n, state FROM harness_events WHERE id > ? ORDER BY id";

/** What a subscriber waits for: events of one leaf, by its number, leaves that may have become ready, or what somebody outside is to be told. */
export type Topic = number | "work" | "notices";

/**
 * Tells subscribers of this process about commits of all processes. One watch and one reading position serve all of them, and both exist
 * only while somebody listens. It only wakes: what there is to see, each subscriber reads from its own position.
 */
export class Changes {
  readonly #connection: Connection;
  readonly #signal: SignalFile;
  readonly #fallbackMs: number;
  readonly #subscriptions = new Map<Topic, Set<Subscription>>();
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastId = 0;
  #changes = 0;

  /** Every subscriber is woken each `fallbackMs` as well: a writer may be killed between its commit and its signal. */
  constructor(connection: Connection, signal: SignalFile, fallbackMs: number = FALLBACK_MS) {
    this.#connection = connection;
    this.#signal = signal;
    this.#fallbackMs = fallbackMs;
  }

  /** Hear of `topic` from now on, until the subscription is closed. */
  subscribe(topic: Topic): Subscription {
    if (this.#subscriptions.size === 0) this.#start();
    const subscription: Subscription = new Subscription(() => this.#unsubscribe(topic, subscription));
    const others = this.#subscriptions.get(topic);
    if (others === undefined) this.#subscriptions.set(topic, new Set([subscription]));
    else others.add(subscription);
    return subscription;
  }

  /** This process committed something. */
  committed(): void {
    this.#signal.send();
    if (this.#subscriptions.size > 0) this.#read();
  }

  /** Wake every subscriber and stop watching. */
  close(): void {
    this.#stop();
    this.#wakeAll();
  }

  /** Whether a watch or a timer is held at present. */
  get active(): boolean {
    return this.#timer !== undefined;
  }

  #unsubscribe(topic: Topic, subscription: Subscription): void {
    const others = this.#subscriptions.get(topic);
    others?.delete(subscription);
    if (others?.size === 0) this.#subscriptions.delete(topic);
    if (this.#subscriptions.size === 0) this.#stop();
  }

  #start(): void {
    this.#lastId = this.#connection.one<{ id: number }>(NEWEST)?.id ?? 0;
    this.#changes = this.#readChanges();
    this.#watcher = this.#signal.watch(
      () => this.#read(),
      () => this.#watchLost(),
    );
    this.#setTimer();
  }

  #stop(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #setTimer(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#wakeAll(), this.#watcher === undefined ? NO_WATCH_MS : this.#fallbackMs);
  }

  #watchLost(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    if (this.active) this.#setTimer();
  }

  #read(): void {
    if (!this.active) return;
    try {
      for (const row of this.#connection.all<{ id: number; n: number; state: LeafState }>(SINCE, this.#lastId)) {
        this.#lastId = row.id;
        this.#wake(row.n);
        // A claim makes nothing ready; every other change of state may.
        if (row.state !== LeafState.UNSPECIFIED && row.state !== LeafState.RUNNING) this.#wake("work");
      }
      const changes = this.#readChanges();
      if (changes !== this.#changes) this.#wakeAll();
      this.#changes = changes;
    } catch {
      // Whoever reads the database next meets the error where it can be told.
      this.#wakeAll();
    }
  }

  /** How many changes there were that no event tells of. */
  #readChanges(): number {
    return this.#connection.one<{ changes: number }>(CHANGES)?.changes ?? 0;
  }

  #wake(topic: Topic): void {
    for (const subscription of this.#subscriptions.get(topic) ?? []) subscription.wake();
  }

  #wakeAll(): void {
    for (const topic of this.#subscriptions.keys()) this.#wake(topic);
  }
}
