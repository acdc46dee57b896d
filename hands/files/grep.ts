import { join, relative } from "node:path";
import { type Location, locateExisting, type Root } from "../paths.ts";
import { FoundLines, type Line } from "./found-lines.ts";
import { pathError } from "./fs-error.ts";
import type { Handle } from "./handle.ts";
import type { LineMatcher } from "./line-matcher.ts";
import type { LineQuery } from "./line-query.ts";
import { type NameFilter, nameFilter } from "./name-filter.ts";
import type { SearchBudget } from "./search-budget.ts";
import { scopeOf } from "./search-scope.ts";
import { walk } from "./walk.ts";

/** What to search where. */
export interface GrepOrder {
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

/** Where a search begins: a directory, or the one that holds the only file. */
interface Start {
  readonly directory: Handle;
  /** The only file. */
  readonly name: string | undefined;
  /** A file's path as it is shown: relative to the workspace. */
  shown(file: string): string;
  /** Its absolute path, resolved through symlinks. */
  resolved(file: string): string;
}

/** Bytes of file names that are handed to the matcher at once: few at first, since the first matches are often all that is wanted. */
const FIRST_BATCH_BYTES = 16 * 1024;
const LARGEST_BATCH_BYTES = 512 * 1024;

/**
 * Lines that match, with the context around them, sorted by path and line. Binary files are left out. The matcher only names lines; their
 * text is read through handles, so that not even a race shows a file outside.
 */
export async function grepLines(
  roots: Roots,
  order: GrepOrder,
  matcher: LineMatcher,
  budget: SearchBudget,
): Promise<{ lines: Line[]; truncated: boolean }> {
  const wanted: NameFilter = order.glob === "" ? () => true : nameFilter("glob", order.glob);
  using location = locateExisting(roots, order.path, { follow: true });
  const start = startOf(roots, location, order.path);
  const query: LineQuery = { ...order, maxPerFile: order.limit + 1 };
  const found = new FoundLines(order.limit, order.contextLines);
  for await (const files of inBatches(candidates(roots, location, start, wanted, budget))) {
    for await (const { file, lines } of matcher.match(start.directory, files, query, budget.signal)) {
      await found.add(roots, { shown: start.shown(file), resolved: start.resolved(file) }, lines);
      if (found.truncated) return found;
    }
    budget.check();
  }
  return found;
}

function startOf(roots: Roots, location: Existing, path: string): Start {
  const workspace = roots[0].path;
  const inside = location.path === workspace || location.path.startsWith(`${workspace}/`);
  const shownStart = inside ? relative(workspace, location.path) : location.path;
  const stat = location.entry.stat();
  if (stat.isDirectory()) {
    const shown = (file: string): string => join(shownStart, file);
    return { directory: location.entry, name: undefined, shown, resolved: (file) => join(location.resolvedPath, file) };
  }
  if (!stat.isFile() || location.parent === undefined) throw pathError("not_a_file", path);
  return { directory: location.parent, name: location.name, shown: () => shownStart, resolved: () => location.resolvedPath };
}

/** The files to search, as paths below the start's directory. A file that is named itself is searched whatever .gitignore says. */
async function* candidates(
  roots: Roots,
  location: Existing,
  start: Start,
  wanted: NameFilter,
  budget: SearchBudget,
): AsyncGenerator<string> {
  if (start.name !== undefined) {
    if (wanted([start.name], false)) yield start.name;
    return;
  }
  const { base, rules } = scopeOf(roots, location);
  for await (const { path, kind } of walk(location.entry, { base, ignore: { rules }, checkpoint: () => budget.check() })) {
    if (kind === "file" && wanted(path, false)) yield path.join("/");
  }
}

/** At least one batch, if an empty one: so the matcher always sees the pattern. */
async function* inBatches(files: AsyncIterable<string>): AsyncGenerator<string[]> {
  let batch: string[] = [];
  let bytes = 0;
  let limit = FIRST_BATCH_BYTES;
  let any = false;
  for await (const file of files) {
    batch.push(file);
    bytes += Buffer.byteLength(file) + 3;
    if (bytes < limit) continue;
    yield batch;
    any = true;
    batch = [];
    bytes = 0;
    limit = Math.min(limit * 4, LARGEST_BATCH_BYTES);
  }
  if (batch.length > 0 || !any) yield batch;
}
