import type { ChildProcess } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { bundleOf, COMPILED } from "@serverless-harness/kit/testing/services";
import { type Claim, type LeafStore, openLeafStore } from "@serverless-harness/session";
import { specOf, workerOf } from "@serverless-harness/session/testing";
import { announcedOrigin } from "../parts/announced-origin.ts";
import { type Scratch, scratch, startProgram, stopProgram } from "../parts/process.ts";
import { Watcher } from "./watcher.ts";

/** Opens the door, as the operator. */
export const TOKEN = "bench-token";
const LEASE_MS = 600_000;
/** Watchers that connect at once: a listener's queue is finite. */
const CONNECTING = 50;

/** A bundled dispatcher without brains, and leaves that the caller works on. */
export class Door implements AsyncDisposable {
  readonly store: LeafStore;
  /** How another handle opens the store. */
  readonly storeUrl: string;
  readonly dispatcherPid: number;
  readonly claims: Claim[] = [];
  readonly watchers: Watcher[] = [];
  readonly origin: string;
  readonly #files: Scratch;
  readonly #dispatcher: ChildProcess;

  /** `redis`: the URL of a store to use instead of a database of its own. */
  static async open(redis?: string): Promise<Door> {
    const files = await scratch();
    const url = redis ?? `sqlite:${files.path("leaf.db")}`;
    await writeFile(files.path("token"), TOKEN, { mode: 0o600 });
    const log = files.path("dispatcher.log");
    const dispatcher = startProgram(bundleOf("dispatcher"), log, {
      LEAF_STORE: url,
      DISPATCHER_LISTEN: "http://127.0.0.1:0",
      DISPATCHER_TOKEN_FILE: files.path("token"),
      DISPATCHER_WAKER: "none",
      ...COMPILED,
    });
    const origin = await announcedOrigin(log, () => dispatcher.exitCode === null);
    if (origin === undefined || dispatcher.pid === undefined) {
      await stopProgram(dispatcher, log);
      throw new Error("the dispatcher told no address");
    }
    return new Door(files, await openLeafStore(url), url, dispatcher, dispatcher.pid, origin);
  }

  private constructor(files: Scratch, store: LeafStore, url: string, dispatcher: ChildProcess, pid: number, origin: string) {
    this.#files = files;
    this.store = store;
    this.storeUrl = url;
    this.#dispatcher = dispatcher;
    this.dispatcherPid = pid;
    this.origin = origin;
  }

  /** Leaves that run, in {@link claims}. */
  async startLeaves(count: number): Promise<void> {
    for (let leaf = 0; leaf < count; leaf++) {
      await this.store.submit({ spec: specOf(), idempotencyKey: "" });
      const claim = await this.store.claim(workerOf("bench"), LEASE_MS);
      if (claim === undefined) throw new Error("nothing was ready after a submit");
      this.claims.push(claim);
    }
  }

  /** Watch the leaves in turn, each watcher by server-sent events on a connection of its own. Resolves when each has all that there is. */
  async startWatchers(count: number): Promise<void> {
    for (let from = 0; from < count; from += CONNECTING) {
      const batch = Array.from({ length: Math.min(CONNECTING, count - from) }, (_, index) => this.#leafOf(from + index));
      this.watchers.push(...(await Promise.all(batch.map((leafId) => Watcher.open(this.origin, leafId, TOKEN)))));
    }
    // A leaf that runs has two events: it was queued, and it was claimed.
    await Promise.all(this.watchers.map((watcher) => watcher.seen(2)));
  }

  /** Who watches a leaf. */
  watchersOf(claim: Claim): Watcher[] {
    return this.watchers.filter(({ leafId }) => leafId === claim.leaf.leafId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watcher of this.watchers) watcher.close();
    const ends = await Promise.allSettled([this.store.close(), stopProgram(this.#dispatcher, this.#files.path("dispatcher.log"))]);
    await this.#files.remove();
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  #leafOf(watcher: number): string {
    const claim = this.claims[watcher % this.claims.length];
    if (claim === undefined) throw new Error("there is no leaf to watch");
    return claim.leaf.leafId;
  }
}
