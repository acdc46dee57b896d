import { relative } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { locateExisting } from "@serverless-harness/kit/paths/locate";
import { errnoOf, pathError } from "@serverless-harness/kit/paths/path-error";
import { WatchEndReason } from "@serverless-harness/proto/hands";
import type { Workspace, Workspaces } from "../../workspaces/workspaces.ts";
import { nameFilter } from "../glob.ts";
import { DEFAULT_FILE_LIMITS, type FileLimits } from "../limits.ts";
import { scopeOf } from "../search-scope.ts";
import { WatchBudget, WorkspaceBudget } from "./budget.ts";
import { ChangeQueue } from "./change-queue.ts";
import type { View } from "./directory.ts";
import { Inotify } from "./inotify.ts";
import { Watch } from "./watch.ts";

export interface WatchOrder {
  readonly path: string;
  readonly recursive: boolean;
  readonly includeIgnored: boolean;
  readonly exclude: readonly string[];
  /** Milliseconds; 0: be told by the kernel. */
  readonly pollIntervalMs: number;
}

export class Watches {
  readonly #limits: FileLimits;
  readonly #inotify = new Inotify();
  readonly #open = new Map<string, { readonly budget: WorkspaceBudget; readonly watches: Set<Watch> }>();
  #isDraining = false;

  constructor(workspaces: Workspaces, limits: FileLimits = DEFAULT_FILE_LIMITS) {
    this.#limits = limits;
    workspaces.beforeDelete(({ name }) => this.#closeAll(name, WatchEndReason.WORKSPACE_DELETED));
  }

  /**
   * Begin to watch a directory; the queue has what is found, `close` ends it. NOT_FOUND, `not_directory`, `path_outside` as other calls.
   * UNAVAILABLE `draining` while hands stops.
   */
  open(workspace: Workspace, order: WatchOrder): { queue: ChangeQueue; close: () => Promise<void> } {
    if (this.#isDraining) throw new HarnessError(Code.Unavailable, "draining", "hands is stopping: watch again when it is back");
    const { name } = workspace;
    const { view, shown } = viewOf(workspace, order);
    const queue = new ChangeQueue(this.#limits.watchQueue);
    const of = this.#open.get(name) ?? { budget: new WorkspaceBudget(this.#limits), watches: new Set() };
    this.#open.set(name, of);
    const watch = new Watch({
      path: order.path,
      shown,
      view,
      queue,
      budget: new WatchBudget(of.budget, this.#limits),
      inotify: order.pollIntervalMs > 0 ? undefined : this.#inotify,
      pollIntervalMs: order.pollIntervalMs,
      open: () => openWatched(workspace, order.path),
    });
    of.watches.add(watch);
    return {
      queue,
      close: async () => {
        await watch.close();
        of.watches.delete(watch);
        if (of.watches.size === 0 && this.#open.get(name) === of) this.#open.delete(name);
      },
    };
  }

  /** End every watch, since hands stops. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    await Promise.all([...this.#open.keys()].map((name) => this.#closeAll(name, WatchEndReason.DRAINING)));
  }

  async #closeAll(workspace: string, reason: WatchEndReason): Promise<void> {
    const watches = this.#open.get(workspace)?.watches ?? [];
    await Promise.all([...watches].map((watch) => watch.close(reason)));
  }
}

function viewOf(workspace: Workspace, order: WatchOrder): { view: View; shown: readonly string[] } {
  const exclude = order.exclude.map((glob, index) => nameFilter(`exclude[${index}]`, glob));
  using location = locateExisting([workspace], order.path, { follow: true });
  if (!location.entry.stat().isDirectory()) throw pathError("not_directory", order.path);
  const { base, rules } = order.includeIgnored ? { base: "", rules: undefined } : scopeOf([workspace], location);
  const shown = relative(workspace.path, location.path).split("/");
  return {
    view: { base, rules, honoursIgnore: !order.includeIgnored, exclude, recursive: order.recursive },
    shown: shown.filter((name) => name !== ""),
  };
}

/** What the path leads to, if that is a directory still. */
function openWatched(workspace: Workspace, path: string): Handle | undefined {
  try {
    const { parent, entry } = locateExisting([workspace], path, { follow: true });
    parent?.[Symbol.dispose]();
    if (entry.stat().isDirectory()) return entry;
    entry[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (error instanceof HarnessError || errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
