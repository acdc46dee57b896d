import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { FileLimits } from "../limits.ts";

/** Counts up to a limit that is named in the error beyond it. */
class Count {
  value = 0;
  readonly #limit: string;
  readonly #max: number;
  readonly #what: string;

  constructor(limit: string, max: number, what: string) {
    this.#limit = limit;
    this.#max = max;
    this.#what = what;
  }

  /** Throws if one more is too much. */
  check(): void {
    if (this.value >= this.#max) throw this.#exceeded();
  }

  take(): void {
    this.check();
    this.value += 1;
  }

  #exceeded(): HarnessError {
    return new HarnessError(
      Code.ResourceExhausted,
      "limit_reached",
      `more than ${this.#max} ${this.#what}: watch a smaller directory, or exclude what is not of interest`,
      { metadata: { limit: this.#limit, max: String(this.#max) } },
    );
  }
}

/** What all watches of a workspace hold. */
export class WorkspaceBudget {
  readonly directories: Count;
  readonly entries: Count;

  constructor({ workspaceWatchDirectories, workspaceWatchEntries }: FileLimits) {
    this.directories = new Count("workspace_watch_directories", workspaceWatchDirectories, "directories are watched in this workspace");
    this.entries = new Count("workspace_watch_entries", workspaceWatchEntries, "files and directories are watched in this workspace");
  }
}

/** What one watch holds; give all of it back by disposing it. RESOURCE_EXHAUSTED `limit_reached` beyond a limit. */
export class WatchBudget implements Disposable {
  readonly #workspace: WorkspaceBudget;
  readonly #directories: Count;
  readonly #entries: Count;

  constructor(workspace: WorkspaceBudget, { watchDirectories, watchEntries }: FileLimits) {
    this.#workspace = workspace;
    this.#directories = new Count("watch_directories", watchDirectories, "directories are below the watched one");
    this.#entries = new Count("watch_entries", watchEntries, "files and directories are below the watched directory");
  }

  takeDirectory(): void {
    this.#workspace.directories.check();
    this.#directories.take();
    this.#workspace.directories.take();
  }

  takeEntry(): void {
    this.#workspace.entries.check();
    this.#entries.take();
    this.#workspace.entries.take();
  }

  giveDirectory(): void {
    this.#directories.value -= 1;
    this.#workspace.directories.value -= 1;
  }

  giveEntry(): void {
    this.#entries.value -= 1;
    this.#workspace.entries.value -= 1;
  }

  [Symbol.dispose](): void {
    while (this.#directories.value > 0) this.giveDirectory();
    while (this.#entries.value > 0) this.giveEntry();
  }
}
