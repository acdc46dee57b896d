import type { ServiceImpl } from "@connectrpc/connect";
import type { FileService } from "@serverless-harness/proto/hands";
import type { Changes } from "../../changes/changes.ts";
import { DEFAULT_FILE_LIMITS, type FileLimits } from "../../files/limits.ts";
import { Watches } from "../../files/watch/watches.ts";
import type { Workspace, Workspaces } from "../../workspaces/workspaces.ts";
import { batch } from "./batch.ts";
import type { FileDeps } from "./deps.ts";
import { edit } from "./edit.ts";
import { find } from "./find.ts";
import { grep } from "./grep.ts";
import { list } from "./list.ts";
import { mkdir } from "./mkdir.ts";
import { move } from "./move.ts";
import { read } from "./read.ts";
import { remove } from "./remove.ts";
import { stat } from "./stat.ts";
import { watch } from "./watch.ts";
import { write } from "./write.ts";

/** What the file service is made of. */
export interface FileServiceOptions {
  readonly workspaces: Workspaces;
  readonly changes: Changes;
  /** Directory with the whole outputs of a workspace's execs, which may be read as well. Default: none. */
  readonly spillDirectory?: (workspace: Workspace) => string;
  readonly limits?: Partial<FileLimits>;
  /** Where watches are kept, for whoever has to end them. Default: of this service alone. */
  readonly watches?: Watches;
}

/** Binds every call of FileService to its file. */
export function fileService(options: FileServiceOptions): ServiceImpl<typeof FileService> {
  const limits = { ...DEFAULT_FILE_LIMITS, ...options.limits };
  const deps: FileDeps = {
    workspaces: options.workspaces,
    changes: options.changes,
    watches: options.watches ?? new Watches(options.workspaces, limits),
    limits,
    spillDirectory: options.spillDirectory,
  };
  const batched = {
    stat: stat(deps),
    read: read(deps),
    edit: edit(deps),
    list: list(deps),
    mkdir: mkdir(deps),
    move: move(deps),
    remove: remove(deps),
  };
  return {
    ...batched,
    write: write(deps),
    find: find(deps),
    grep: grep(deps),
    watch: watch(deps),
    batch: batch(deps, batched),
  };
}
