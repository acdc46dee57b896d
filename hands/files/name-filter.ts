import { invalidArgument } from "@serverless-harness/kit/errors";
import { compileGlob, expandBraces, matchesGlob } from "./glob.ts";

/** Alternatives that the braces of one glob may stand for. */
const MAX_ALTERNATIVES = 200;

/** Tells which paths are wanted. */
export type NameFilter = (path: readonly string[], isDirectory: boolean) => boolean;

/**
 * The filter of a glob that a client sent: matched against the whole path, or against the name alone where the glob has no slash but at its
 * end. With a slash at the end only directories match. INVALID_ARGUMENT for `field` where its braces stand for too much.
 */
export function nameFilter(field: string, glob: string): NameFilter {
  const alternatives = expandBraces(glob, MAX_ALTERNATIVES);
  if (alternatives === undefined) {
    throw invalidArgument([{ field, description: `must stand for at most ${MAX_ALTERNATIVES} alternatives in braces` }]);
  }
  const filters = alternatives.map(filterOne);
  return (path, isDirectory) => filters.some((filter) => filter(path, isDirectory));
}

function filterOne(pattern: string): NameFilter {
  const directoriesOnly = pattern.endsWith("/");
  const body = directoriesOnly ? pattern.slice(0, -1) : pattern;
  const glob = compileGlob(body.replace(/^\.?\//, ""));
  const nameOnly = !body.includes("/");
  return (path, isDirectory) => (isDirectory || !directoriesOnly) && matchesGlob(glob, nameOnly ? path.slice(-1) : path);
}
