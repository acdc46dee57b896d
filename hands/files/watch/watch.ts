import { setTimeout as sleep } from "node:timers/promises";
import { pathError, translateError } from "@serverless-harness/kit/paths/path-error";
import { WatchEndReason, WatchMode } from "@serverless-harness/proto/hands";
import type { ChangeQueue } from "./change-queue.ts";
import type { TreeOptions } from "./directory.ts";
import { WatchedTree } from "./tree.ts";

/** What happens within this many milliseconds is reported together. */
const COALESCE_MS = 50;

/** How often the path is looked at while the kernel tells about the directory: it says nothing of a directory above. In milliseconds. */
const LIVENESS_MS = 1000;

/** If the kernel can't tell and the client did not say how often to look. In milliseconds. */
const FALLBACK_POLL_MS = 1000;

/** A look may take this part of the time at most. */
const POLL_SHARE = 0.2;

export interface WatchOptions extends Omit<TreeOptions, "tell" | "onDirty" | "checkpoint"> {
  /** The path as the client names it. */
  readonly path: string;
  /** Segments of the watched directory below the workspace, as they are shown. */
  readonly shown: readonly string[];
  /** Milliseconds between two looks at everything; 0: only if the kernel can't tell. */
  readonly pollIntervalMs: number;
  readonly queue: ChangeQueue;
}

/** One client's watch: looks when the kernel tells of something, or in an interval, until it is closed. */
export class Watch {
  readonly #options: WatchOptions;
  readonly #tree: WatchedTree;
  readonly #closed = new AbortController();
  readonly #floods: Disposable | undefined;
  readonly #running: Promise<void>;
  #wake: () => void = () => undefined;
  #announced: WatchMode | undefined;
  #lookMs = 0;

  /** Begins at once. */
  constructor(options: WatchOptions) {
    this.#options = options;
    const { queue, shown } = options;
    this.#tree = new WatchedTree({
      ...options,
      tell: ({ kind, path, fileKind }) => queue.push({ kind, path: [...shown, ...path].join("/"), fileKind }),
      onDirty: () => this.#wake(),
      checkpoint: () => this.#closed.signal.throwIfAborted(),
    });
    this.#floods = options.inotify?.watchFloods(() => {
      this.#tree.markAll();
      this.#wake();
    });
    this.#running = this.#run();
  }

  /** Watch no more. The reader is told `reason` if there is one. Resolves once nothing is held any more. */
  async close(reason?: WatchEndReason): Promise<void> {
    if (reason !== undefined) this.#options.queue.end({ reason });
    this.#closed.abort();
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { queue, path } = this.#options;
    try {
      if (!(await this.#tree.establish())) throw pathError("not_found", path);
      while (!this.#closed.signal.aborted) {
        this.#announceMode();
        await this.#untilDue();
        if (this.#closed.signal.aborted || (await this.#look())) continue;
        queue.end({ reason: WatchEndReason.DIRECTORY_GONE });
        break;
      }
    } catch (error) {
      queue.end({ error: translateError(error, path) });
    } finally {
      this.#floods?.[Symbol.dispose]();
      this.#tree[Symbol.dispose]();
      this.#options.budget[Symbol.dispose]();
    }
  }

  async #look(): Promise<boolean> {
    const start = performance.now();
    const isThere = await this.#tree.reconcile();
    this.#lookMs = performance.now() - start;
    return isThere;
  }

  #announceMode(): void {
    const { mode } = this.#tree;
    if (this.#announced === mode) return;
    this.#announced = mode;
    this.#options.queue.start(mode, mode === WatchMode.POLL ? this.#pollMs : 0);
  }

  get #pollMs(): number {
    return this.#options.pollIntervalMs || FALLBACK_POLL_MS;
  }

  /** Wait for something to look at, and then for what comes with it. */
  async #untilDue(): Promise<void> {
    if (this.#tree.mode === WatchMode.NOTIFY) {
      if (!this.#tree.isDirty) await this.#wait(LIVENESS_MS);
      if (this.#tree.isDirty) await this.#pause(COALESCE_MS);
    } else if (this.#tree.isDirty) {
      await this.#pause(COALESCE_MS);
    } else {
      await this.#pause(Math.max(this.#pollMs, this.#lookMs / POLL_SHARE));
      this.#tree.markAll();
    }
  }

  /** Until something wakes the watch, or the time is over. */
  async #wait(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => undefined;
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closed.signal, ref: false }).catch(() => undefined);
  }
}
