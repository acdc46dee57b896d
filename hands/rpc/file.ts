import type { ServiceImpl } from "@connectrpc/connect";
import { locateExisting, type Root } from "@serverless-harness/kit/paths/locate";
import { aboutPath, translateError } from "@serverless-harness/kit/paths/path-error";
import type { FileService } from "@serverless-harness/proto/hands";
import type { Changes } from "../changes/changes.ts";
import { findPaths } from "../files/find.ts";
import { grepLines } from "../files/grep.ts";
import { DEFAULT_FILE_LIMITS, type FileLimits } from "../files/limits.ts";
import { listDirectory } from "../files/list.ts";
import { readRange } from "../files/read.ts";
import { SearchBudget } from "../files/search-scope.ts";
import { FileValidation } from "../files/validate.ts";
import { Watches } from "../files/watch/watches.ts";
import { describe } from "../fs/file-info.ts";
import type { Workspace, Workspaces } from "../workspaces/workspaces.ts";
import { batch } from "./file-batch.ts";
import { type FileDeps, fileChanges } from "./file-changes.ts";

const LIST = { pageSize: 1000, maxPageSize: 10_000, maxTokenBytes: 1000 };
const FIND = { limit: 1000, maxLimit: 10_000 };
const GREP = { limit: 100, maxLimit: 10_000, maxContextLines: 50, maxPatternBytes: 10_000 };
const WATCH = { maxExcludes: 100, minPollMs: 50, maxPollMs: 60_000 };

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

/** The RPCs of `harness.hands.v1.FileService`. */
export function fileService(options: FileServiceOptions): ServiceImpl<typeof FileService> {
  const { workspaces, changes, spillDirectory } = options;
  const limits = { ...DEFAULT_FILE_LIMITS, ...options.limits };
  const watches = options.watches ?? new Watches(workspaces, limits);
  const deps: FileDeps = { workspaces, changes, limits };
  /** Where a workspace's files may be read. NOT_FOUND `unknown_workspace`. */
  const readableRoots = (name: string): readonly [Root, ...Root[]] => {
    const workspace = workspaces.find(name);
    return spillDirectory === undefined ? [workspace] : [workspace, { path: spillDirectory(workspace) }];
  };
  const batched = {
    ...fileChanges(deps),

    stat({ workspace, path, follow }) {
      const valid = new FileValidation();
      valid.workspace("workspace", workspace);
      valid.path("path", path);
      valid.done();
      return aboutPath(path, () => {
        using location = locateExisting(readableRoots(workspace), path, { follow });
        return { file: describe(location.entry.stat(), follow ? location.resolvedPath : location.path) };
      });
    },

    async *read({ workspace, path, offset, length, ifMatch }) {
      const valid = new FileValidation();
      valid.workspace("workspace", workspace);
      valid.path("path", path);
      valid.range("offset", offset, 0, Number.MAX_SAFE_INTEGER);
      valid.range("length", length, 0, Number.MAX_SAFE_INTEGER);
      valid.etag("if_match", ifMatch);
      valid.done();
      try {
        yield* readRange(readableRoots(workspace), { path, offset: Number(offset), length: Number(length), ifMatch });
      } catch (error) {
        throw translateError(error, path);
      }
    },

    list({ workspace, path, pageSize, pageToken }) {
      const valid = new FileValidation();
      valid.workspace("workspace", workspace);
      valid.path("path", path, true);
      valid.range("page_size", pageSize, 0, LIST.maxPageSize);
      valid.maxBytes("page_token", pageToken, LIST.maxTokenBytes);
      valid.done();
      return aboutPath(path, async () => {
        const page = await listDirectory(readableRoots(workspace), { path, pageSize: pageSize || LIST.pageSize, pageToken });
        return { files: [...page.files], nextPageToken: page.nextPageToken };
      });
    },
  } satisfies Partial<ServiceImpl<typeof FileService>>;

  return {
    ...batched,
    batch: batch(deps, batched),

    find({ workspace, path, glob, limit, includeIgnored }, context) {
      const valid = new FileValidation();
      valid.workspace("workspace", workspace);
      valid.path("path", path, true);
      valid.check("glob", glob !== "", "must not be empty: `*` matches every name");
      valid.glob("glob", glob);
      valid.range("limit", limit, 0, FIND.maxLimit);
      valid.done();
      const budget = new SearchBudget(limits.searchMs, context.signal);
      const order = { path, glob, limit: limit || FIND.limit, includeIgnored };
      return aboutPath(path, () => findPaths(readableRoots(workspace), order, budget));
    },

    grep({ workspace, path, pattern, literal, ignoreCase, glob, contextLines, limit }, context) {
      const valid = new FileValidation();
      valid.workspace("workspace", workspace);
      valid.path("path", path, true);
      valid.check("pattern", pattern !== "", "must not be empty");
      valid.check("pattern", !/[\0\n]/.test(pattern), "must not hold a NUL character or a newline: lines are matched one by one");
      valid.maxBytes("pattern", pattern, GREP.maxPatternBytes);
      valid.glob("glob", glob);
      valid.range("context_lines", contextLines, 0, GREP.maxContextLines);
      valid.range("limit", limit, 0, GREP.maxLimit);
      valid.done();
      const budget = new SearchBudget(limits.searchMs, context.signal);
      const order = { path, pattern, literal, ignoreCase, glob, contextLines, limit: limit || GREP.limit };
      return aboutPath(path, async () => {
        const { lines, truncated, binary } = await grepLines(readableRoots(workspace), order, budget);
        return { lines, truncated, binary };
      });
    },

    async *watch({ workspace: name, path, recursive, includeIgnored, exclude, pollIntervalMs }, context) {
      const valid = new FileValidation();
      valid.workspace("workspace", name);
      valid.path("path", path, true);
      valid.check("exclude", exclude.length <= WATCH.maxExcludes, `must be at most ${WATCH.maxExcludes}`);
      for (const [index, glob] of exclude.entries()) {
        valid.check(`exclude[${index}]`, glob !== "", "must not be empty");
        valid.glob(`exclude[${index}]`, glob);
      }
      const isPossible = pollIntervalMs === 0 || (pollIntervalMs >= WATCH.minPollMs && pollIntervalMs <= WATCH.maxPollMs);
      valid.check("poll_interval_ms", isPossible, `must be 0, or ${WATCH.minPollMs} to ${WATCH.maxPollMs}`);
      valid.done();
      const workspace = workspaces.find(name);
      const order = { path, recursive, includeIgnored, exclude, pollIntervalMs };
      const { queue, close } = await aboutPath(path, () => watches.open(workspace, order));
      // Nothing else tells that a reader has gone that was not reading.
      const onGone = (): void => void close();
      context.signal.addEventListener("abort", onGone);
      try {
        yield* queue.read(context.signal);
      } finally {
        context.signal.removeEventListener("abort", onGone);
        await close();
      }
    },
  };
}
