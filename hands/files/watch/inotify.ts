import { readFileSync, statfsSync, watch } from "node:fs";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";

/**
 * Network file systems, by their magic numbers: what another machine changes there the kernel is never told. NFS,
 * SMB, CIFS, SMB2, 9P, AFS, Ceph, FUSE.
 */
const REMOTE = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x5346414f, 0x00c36400, 0x65735546]);

/** Errors that say that the kernel has no watch to give. */
const UNAVAILABLE: ReadonlySet<string | undefined> = new Set(["ENOSPC", "EMFILE", "ENFILE", "ENOSYS", "EINVAL", "ENOTSUP", "ENOMEM"]);

const MAX_QUEUED_FILE = "/proc/sys/fs/inotify/max_queued_events";
const DEFAULT_MAX_QUEUED = 16_384;

/** The kernel can't tell about a directory. */
export class NotifyUnavailable extends Error {
  override readonly name = "NotifyUnavailable";
}

/**
 * What the kernel tells about directories. All of this process share one queue in the kernel. What doesn't fit into
 * it the kernel drops, and Node doesn't say so; but then the queue was full, so a flood of events tells that some may
 * be missing.
 */
export class Inotify {
  readonly #onFlood = new Set<() => void>();
  readonly #flood = maxQueued() / 4;
  #inTurn = 0;

  /** Call `onFlood` whenever something may have been missed, in any directory, until disposed. */
  watchFloods(onFlood: () => void): Disposable {
    this.#onFlood.add(onFlood);
    return { [Symbol.dispose]: () => this.#onFlood.delete(onFlood) };
  }

  /**
   * Watch one directory: `onEvent` gets the name (`latin1`) to which something happened, or `undefined` if any may be meant. The
   * directory's own removal comes with some name. {@link NotifyUnavailable} if polling has to do.
   */
  watch(directory: Handle, onEvent: (name: string | undefined) => void): Disposable {
    try {
      if (REMOTE.has(statfsSync(directory.path).type)) throw new NotifyUnavailable("a network file system");
      const watcher = watch(directory.path, { persistent: false, encoding: "latin1" });
      watcher.on("change", (_kind, name) => {
        this.#count();
        onEvent(typeof name === "string" ? name : undefined);
      });
      watcher.on("error", () => onEvent(undefined));
      return { [Symbol.dispose]: () => watcher.close() };
    } catch (error) {
      if (UNAVAILABLE.has(errnoOf(error))) throw new NotifyUnavailable("no watch to be had", { cause: error });
      throw error;
    }
  }

  /** All that is queued in the kernel comes in one turn of the event loop. */
  #count(): void {
    if (this.#inTurn === 0) {
      setImmediate(() => {
        this.#inTurn = 0;
      });
    }
    this.#inTurn += 1;
    if (this.#inTurn !== Math.ceil(this.#flood)) return;
    // After this turn: what is looked at then shows what the dropped events were about.
    setImmediate(() => {
      for (const onFlood of this.#onFlood) onFlood();
    });
  }
}

function maxQueued(): number {
  try {
    return Number(readFileSync(MAX_QUEUED_FILE, "utf8")) || DEFAULT_MAX_QUEUED;
  } catch {
    return DEFAULT_MAX_QUEUED;
  }
}
