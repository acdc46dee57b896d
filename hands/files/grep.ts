import { closeSync, constants, openSync, readSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { type Handle, openInode } from "@serverless-harness/kit/paths/handle";
import { type Location, locateExisting, type Root } from "@serverless-harness/kit/paths/locate";
import { errnoOf, pathError } from "@serverless-harness/kit/paths/path-error";
import { FoundLines, type Line } from "./found-lines.ts";
import { type NameFilter, nameFilter } from "./glob.ts";
import { matchLines } from "./line-matcher.ts";
import type { LineQuery, SearchFile } from "./line-query.ts";
import { type SearchBudget, scopeOf } from "./search-scope.ts";
import { walk } from "./walk.ts";

interface GrepOrder {
  readonly path: string;
  readonly pattern: string;
  readonly literal: boolean;
  readonly ignoreCase: boolean;
  /** Only files that match; empty: all. */
  readonly glob: string;
  readonly contextLines: number;
  readonly limit: number;
}

type Roots = readonly [Root, ...Root[]];
type Existing = Location & { readonly entry: Handle };

/**
 * Files that are handed to the matcher at once, each with an open descriptor: few at first, since the first matches
 * are often all that is wanted.
 */
const FIRST_BATCH = 64;
const LARGEST_BATCH = 1000;

/**
 * Lines that match, with the context around them, sorted by path and line. Binary files that match are named. Files
 * are searched and read by their handles, so that not even a race shows a line from outside.
 */
export async function grepLines(
  roots: Roots,
  order: GrepOrder,
  budget: SearchBudget,
): Promise<{ lines: Line[]; binary: string[]; truncated: boolean }> {
  const wanted: NameFilter = order.glob === "" ? () => true : nameFilter("glob", order.glob);
  using location = locateExisting(roots, order.path, { follow: true });
  const query: LineQuery = { ...order, maxPerFile: order.limit + 1 };
  const found = new FoundLines(order.limit, order.contextLines);
  for await (const files of inBatches(candidates(roots, location, order.path, wanted, budget))) {
    for await (const matches of matchLines(files, query, budget.signal)) {
      await found.add(matches);
      if (found.truncated) return found;
    }
    budget.check();
  }
  return found;
}

/** The files to search. One that is named itself is searched whatever .gitignore says. */
async function* candidates(
  roots: Roots,
  location: Existing,
  path: string,
  wanted: NameFilter,
  budget: SearchBudget,
): AsyncGenerator<SearchFile> {
  const workspace = roots[0].path;
  const inside = location.path === workspace || location.path.startsWith(`${workspace}/`);
  const shown = inside ? relative(workspace, location.path) : location.path;
  const stat = location.entry.stat();
  if (stat.isFile()) {
    if (wanted([basename(location.path)], false)) yield { shown, handle: location.entry };
    return;
  }
  if (!stat.isDirectory()) throw pathError("not_a_file", path);
  const { base, rules } = scopeOf(roots, location);
  for await (const entry of walk(location.entry, { base, ignore: { rules }, checkpoint: () => budget.check() })) {
    if (entry.kind !== "file" || !wanted(entry.path, false)) continue;
    const handle = openToSearch(entry.directory.child(entry.path.at(-1) ?? ""));
    if (handle !== undefined) yield { shown: join(shown, ...entry.path), handle };
  }
}

/** At least one batch, if an empty one: so the matcher always sees the pattern. The handles are closed when the next one is asked for. */
async function* inBatches(files: AsyncIterable<SearchFile>): AsyncGenerator<SearchFile[]> {
  let batch: SearchFile[] = [];
  let limit = FIRST_BATCH;
  let any = false;
  const close = (): void => {
    for (const { handle } of batch) handle[Symbol.dispose]();
    batch = [];
  };
  try {
    for await (const file of files) {
      batch.push(file);
      if (batch.length < limit) continue;
      yield batch;
      close();
      any = true;
      limit = LARGEST_BATCH;
    }
    if (batch.length > 0 || !any) yield batch;
  } finally {
    close();
  }
}

/** Files up to this size are searched without a look at what is in them. */
const LARGE_BYTES = 1024 * 1024;
const SAMPLE_BYTES = 8 * 1024;

/**
 * A regular file to search; `undefined` if it is gone, or something else by now, or may not be read. A large one that is plainly binary
 * is left out here already: reading through it is what takes time, and nothing in it would be shown.
 */
function openToSearch(path: string | Buffer): Handle | undefined {
  try {
    using stack = new DisposableStack();
    const handle = stack.use(openInode(path));
    const stat = handle.stat();
    if (!stat.isFile() || (stat.size > LARGE_BYTES && beginsBinary(handle))) return undefined;
    stack.move();
    return handle;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
}

function beginsBinary(file: Handle): boolean {
  const fd = openSync(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const sample = Buffer.alloc(SAMPLE_BYTES);
    return sample.subarray(0, readSync(fd, sample, 0, SAMPLE_BYTES, 0)).includes(0);
  } finally {
    closeSync(fd);
  }
}
