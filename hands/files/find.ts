import { locateExisting, type Root } from "@serverless-harness/kit/paths/locate";
import { pathError } from "@serverless-harness/kit/paths/path-error";
import { nameFilter } from "./glob.ts";
import { type SearchBudget, scopeOf } from "./search-scope.ts";
import { walk } from "./walk.ts";

export interface FindOrder {
  readonly path: string;
  readonly glob: string;
  readonly limit: number;
  readonly includeIgnored: boolean;
}

/** Paths below a directory that match a glob, sorted by their bytes; a directory's end with a slash. */
export async function findPaths(
  roots: readonly [Root, ...Root[]],
  order: FindOrder,
  budget: SearchBudget,
): Promise<{ paths: string[]; truncated: boolean }> {
  const wanted = nameFilter("glob", order.glob);
  using location = locateExisting(roots, order.path, { follow: true });
  if (!location.entry.stat().isDirectory()) throw pathError("not_directory", order.path);
  const { base, rules } = scopeOf(roots, location);
  const paths: string[] = [];
  const ignore = order.includeIgnored ? undefined : { rules };
  for await (const { path, kind } of walk(location.entry, { base, ignore, checkpoint: () => budget.check() })) {
    if (!wanted(path, kind === "directory")) continue;
    if (paths.length === order.limit) return { paths, truncated: true };
    paths.push(path.join("/") + (kind === "directory" ? "/" : ""));
  }
  return { paths, truncated: false };
}
