import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import type { Logger } from "@serverless-harness/kit/log";
import { EndCause, EndCauseSchema, type ExecSpec } from "@serverless-harness/proto/hands";
import type { Durability } from "../fs/durable.ts";
import { removeTree } from "../fs/remove-tree.ts";
import type { EndRecord, Intent } from "../journal/record.ts";
import type { Launcher, ProcessSpec } from "../process/launcher.ts";
import { killMarked } from "../process/processes.ts";
import type { Workspace, Workspaces } from "../workspaces/workspaces.ts";
import type { Stop } from "./end.ts";
import type { Exec } from "./exec.ts";
import type { ExecLimits } from "./limits.ts";
import { readCapture } from "./output-capture.ts";
import type { SpillOptions } from "./output-spill.ts";
import { fingerprintOf, type Homes, previewOf, processOf } from "./process-spec.ts";
import { ExecRun } from "./run.ts";
import type { Entry, ExecStore } from "./store.ts";
import { ExecStores } from "./stores.ts";

const DEFAULT_KILL_GRACE_MS = 2000;

export interface ExecsOptions {
  readonly workspaces: Workspaces;
  readonly launcher: Launcher;
  readonly limits: ExecLimits;
  /** What a known id survives: the death of the daemon and the sandbox, or that of the machine too, for a flush in front of every start. */
  readonly durability: Durability;
  readonly homes: Homes;
  /** Directory for whole outputs that exceed their capture. */
  readonly spillDirectory: string;
  readonly log: Logger;
  /** Told of every end, for counting. */
  readonly onEnded?: (end: EndRecord) => void;
}

/** Every exec of the sandbox. An exec runs at most once per workspace and id, whatever is repeated or restarted. */
export class Execs {
  readonly #options: ExecsOptions;
  readonly #stores: ExecStores;
  #isDraining = false;

  private constructor(options: ExecsOptions) {
    this.#options = options;
    this.#stores = new ExecStores(options.workspaces, options.limits, options.log);
    options.workspaces.beforeDelete((workspace) => this.#endWorkspace(workspace));
  }

  /** Take up what an earlier daemon left in every workspace: what ran then is lost, and killed if it still lives. */
  static async open(options: ExecsOptions): Promise<Execs> {
    const execs = new Execs(options);
    const { workspaces } = options;
    for (const { name } of workspaces.list())
      await execs.#stores.of(name).catch((error: unknown) => workspaces.setAsideDamaged(name, error));
    return execs;
  }

  /**
   * Run a command, or find the exec that its id names already. ALREADY_EXISTS `id_reused` if that is another command;
   * RESOURCE_EXHAUSTED `limit_reached` if too many run; UNAVAILABLE `draining` while hands stops. The exec may still fail to be
   * journaled: see {@link Exec.failure}.
   */
  async run(spec: ExecSpec): Promise<{ exec: Exec; attached: boolean }> {
    const store = await this.#stores.of(spec.workspace);
    const workspace = await this.#options.workspaces.resolve(spec.workspace, spec.epoch);
    const fingerprint = fingerprintOf(spec);
    const known = store.entries.get(spec.execId);
    if (known !== undefined) {
      if (known.record.intent.fingerprint !== fingerprint) throw idReused(spec.execId);
      return { exec: known.exec, attached: true };
    }
    this.#assertRoom(store);
    const mark = newId("exec");
    const process = processOf(spec, workspace, this.#options.homes, mark);
    const entry = store.add({
      id: spec.execId,
      fingerprint,
      mark,
      preview: previewOf(spec),
      startedAtMs: Date.now(),
      killGraceMs: Number(spec.killGraceMs) || DEFAULT_KILL_GRACE_MS,
      ...this.#captureOf(spec),
    });
    const run = this.#newRun(store, entry, spec, process);
    store.begin(entry, run);
    if (store.isOverfull) void this.#stores.pruneOne(store);
    void this.#start(store, entry, run, spec.epoch);
    return { exec: entry.exec, attached: false };
  }

  /** A known exec, for an owner that may change it. NOT_FOUND `unknown_exec`. */
  async findOwned(workspace: string, execId: string, epoch: bigint): Promise<Exec> {
    return (await this.#owned(workspace, execId, epoch)).exec;
  }

  /** A known exec, for reading. NOT_FOUND `unknown_exec`. */
  async get(workspace: string, execId: string): Promise<Exec> {
    return known(await this.#stores.of(workspace), execId).exec;
  }

  /** A workspace's execs, newest first. `before`: only those that began before this place in its row. */
  async list(workspace: string, filter: { readonly runningOnly: boolean; readonly before: number }): Promise<Exec[]> {
    const { entries } = await this.#stores.of(workspace);
    const chosen = [...entries.values()].filter(
      ({ run, record }) => (run !== undefined || !filter.runningOnly) && record.intent.seq < filter.before,
    );
    return chosen.map(({ exec }) => exec).sort((a, b) => b.intent.seq - a.intent.seq);
  }

  /** Input that may wait for one exec, in bytes. */
  get stdinBytes(): number {
    return this.#options.limits.stdinBytes;
  }

  /** How many run, in all workspaces. */
  async openCount(): Promise<number> {
    return (await this.#stores.all()).reduce((sum, store) => sum + store.running.size, 0);
  }

  /** Send a signal to every process of an exec. A no-op once it has ended. */
  async signal(workspace: string, execId: string, epoch: bigint, name: NodeJS.Signals): Promise<void> {
    (await this.#owned(workspace, execId, epoch)).run?.signal(name);
  }

  /** End an exec and every descendant of it. A no-op once it has ended. */
  async cancel(workspace: string, execId: string, epoch: bigint): Promise<void> {
    (await this.#owned(workspace, execId, epoch)).run?.stop({ cause: EndCause.CANCELLED, message: "" });
  }

  /** The live half of an exec, for an owner that gives it input; `undefined` once it has ended. NOT_FOUND `unknown_exec`. */
  async ownRun(workspace: string, execId: string, epoch: bigint): Promise<ExecRun | undefined> {
    return (await this.#owned(workspace, execId, epoch)).run;
  }

  /** Take no new execs, give the running ones `graceMs` to end, then end them; resolves when all have. */
  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true;
    this.#stores.stopPruning();
    const running = (await this.#stores.all()).flatMap((store) => [...store.running]);
    const settled = Promise.all(running.map(({ exec }) => exec.settled));
    const patience = new AbortController();
    await Promise.race([settled, sleep(graceMs, undefined, { signal: patience.signal }).catch(() => undefined)]);
    patience.abort();
    for (const { run } of running)
      run?.stop({ cause: EndCause.SHUT_DOWN, message: "the sandbox was shut down while this ran, and ended it" });
    await settled;
    await this.#options.launcher.close();
    // The launcher has ended its own; this finds what it lost sight of.
    killMarked(new Set((await this.#stores.all()).flatMap((store) => [...store.marks])));
  }

  async #start(store: ExecStore, entry: Entry, run: ExecRun, epoch: bigint): Promise<void> {
    try {
      await this.#noteIntent(store, entry.record.intent);
      // A newer owner may have come meanwhile.
      this.#options.workspaces.fence(store.workspace.name, epoch);
    } catch (error) {
      const failure = new HarnessError(Code.Internal, "start_failed", "the exec could not be started", { cause: error });
      await this.#fail(store, entry, error instanceof HarnessError ? error : failure);
      return;
    }
    try {
      run.launch(this.#options.launcher);
    } catch (error) {
      // As a directory of its jail that can't be made.
      run.ended({ kind: "unavailable", message: error instanceof Error ? error.message : String(error) });
    }
  }

  /** It is no exec after all: nothing was begun, and its id is free again. */
  async #fail(store: ExecStore, entry: Entry, failure: HarnessError): Promise<void> {
    store.end(entry);
    await store.drop(entry);
    entry.exec.markFailed(failure);
  }

  /** From here on the id is never run again, whatever dies: with durability `process`, but for the machine in the next 20 ms. */
  async #noteIntent(store: ExecStore, intent: Intent): Promise<void> {
    const { durability, log } = this.#options;
    if (durability === "machine") return store.journal.writeDurably({ type: "intent", intent });
    store.journal.write({ type: "intent", intent });
    store.journal.flushSoon((error) => log.error({ workspace: store.workspace.name, err: error }, "the journal could not be flushed"));
  }

  #newRun(store: ExecStore, entry: Entry, spec: ExecSpec, process: ProcessSpec): ExecRun {
    const { limits, log } = this.#options;
    const asked = Number(spec.timeoutMs);
    return new ExecRun(entry.exec, {
      process,
      timeoutMs: limits.wallMs > 0 && asked > 0 ? Math.min(asked, limits.wallMs) : asked || limits.wallMs,
      noOutputTimeoutMs: Number(spec.noOutputTimeoutMs),
      silenceMs: limits.silenceMs,
      readerLagBytes: Math.min(limits.readerLagBytes, limits.outputBytes / 2),
      stdinBytes: limits.stdinBytes,
      spill: spillOf(entry.record.intent, limits.spillBytes),
      onStarted: (identify) => store.noteProcess(entry, identify),
      onUnavailable: (message) => {
        log.error(
          { workspace: spec.workspace, exec: spec.execId, why: message },
          "a command could not be started: the sandbox is unavailable",
        );
        const text = `the sandbox can't start commands now: ${message}; nothing was begun, try again`;
        void this.#fail(store, entry, new HarnessError(Code.Unavailable, "sandbox_unavailable", text));
      },
      onEnded: (end) => {
        store.end(entry);
        store.noteEnd(entry, end);
        entry.exec.markEnded(end);
        this.#options.onEnded?.(end);
        log.debug(
          { workspace: spec.workspace, exec: spec.execId, cause: EndCauseSchema.value[end.cause]?.localName, exitCode: end.exitCode },
          "exec ended",
        );
      },
    });
  }

  #captureOf(spec: ExecSpec): Pick<Intent, "capture" | "spillPath"> {
    if (spec.capture === undefined) return {};
    const capture = readCapture(spec.capture);
    if (!capture.spill || this.#options.limits.spillBytes === 0) return { capture };
    return { capture, spillPath: join(this.#options.spillDirectory, spec.workspace, `${spec.execId}.log`) };
  }

  #assertRoom(store: ExecStore): void {
    if (this.#isDraining)
      throw new HarnessError(Code.Unavailable, "draining", "hands is stopping and starts nothing new: try again when it is back");
    const { openExecs } = this.#options.limits;
    if (store.running.size < openExecs) return;
    throw new HarnessError(
      Code.ResourceExhausted,
      "limit_reached",
      `${openExecs} execs run in ${store.workspace.name}, its limit: wait for one to end, or end one`,
      { metadata: { limit: "open_execs", value: String(openExecs) } },
    );
  }

  async #owned(workspace: string, execId: string, epoch: bigint): Promise<Entry> {
    const store = await this.#stores.of(workspace);
    await this.#options.workspaces.resolve(workspace, epoch);
    return known(store, execId);
  }

  /** End what runs in a workspace, without grace. Returns how many execs that were. */
  async stopAll(workspace: string, stop: Stop): Promise<number> {
    const running = [...((await this.#stores.ifOpen(workspace))?.running ?? [])];
    for (const { run } of running) run?.stop(stop, 0);
    return running.length;
  }

  async #endWorkspace(workspace: Workspace): Promise<void> {
    const store = await this.#stores.take(workspace.name);
    const running = [...(store?.running ?? [])];
    for (const { run } of running) run?.stop({ cause: EndCause.CANCELLED, message: "its workspace was deleted" }, 0);
    await Promise.all(running.map(({ exec }) => exec.settled));
    if (store !== undefined) killMarked(store.marks);
    store?.journal.close();
    await removeTree(join(this.#options.spillDirectory, workspace.name));
  }

  /**
   * Forget ended execs beyond the limits, and let go of workspaces that nobody uses. Done by itself once a minute,
   * and earlier if many end.
   */
  prune(): Promise<void> {
    return this.#stores.prune();
  }
}

function known(store: ExecStore, execId: string): Entry {
  const entry = store.entries.get(execId);
  if (entry !== undefined) return entry;
  throw new HarnessError(
    Code.NotFound,
    "unknown_exec",
    `no exec ${execId} in ${store.workspace.name}: it was never run there, or is forgotten`,
  );
}

function idReused(execId: string): HarnessError {
  return new HarnessError(Code.AlreadyExists, "id_reused", `exec ${execId} was run with another command or settings: choose a new id`);
}

function spillOf({ capture, spillPath }: Intent, maxBytes: number): SpillOptions | undefined {
  return capture === undefined || spillPath === undefined ? undefined : { path: spillPath, maxBytes, capture };
}
