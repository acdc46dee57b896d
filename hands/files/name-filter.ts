import { invalidArgument } from "@serverless-harness/kit/errors";
import { globbedGlob, globbedName } from "@serverless-harness/kit/paths/shown-name";
import { compileGlob, expandBraces, globProblem, matchesGlob } from "./glob.ts";

/** Alternatives that the braces of one glob may stand for. */
const MAX_ALTERNATIVES = 200;

/** Tells which paths are wanted, given by their segments as they are shown. */
export type NameFilter = (path: readonly string[], isDirectory: boolean) => boolean;

/**
 * The filter of a glob that a client sent: matched against the whole path, or against the name alone where the glob has no slash but at its
 * end. With a slash at the end only directories match. With a `!` before it everything else is wanted, and nothing below a directory that matches. A name that is written
 * just like the glob matches too, whatever its characters mean. INVALID_ARGUMENT for `field` where it is no glob, or its braces stand for too much.
 */
export function nameFilter(field: string, glob: string): NameFilter {
  if (!glob.startsWith("!")) return wantedBy(field, glob);
  const unwanted = wantedBy(field, glob.slice(1));
  return (path, isDirectory) => path.every((_name, index) => !unwanted(path.slice(0, index + 1), index < path.length - 1 || isDirectory));
}

function wantedBy(field: string, sent: string): NameFilter {
  const glob = globbedGlob(sent);
  const problem = globProblem(glob);
  if (problem !== undefined) throw invalidArgument([{ field, description: problem }]);
  const alternatives = expandBraces(glob, MAX_ALTERNATIVES);
  if (alternatives === undefined) {
    throw invalidArgument([{ field, description: `must stand for at most ${MAX_ALTERNATIVES} alternatives in braces` }]);
  }
  const filters = alternatives.map(filterOne);
  const literally = globbedName(sent).replace(/^\.?\//, "");
  const nameOnly = !glob.includes("/");
  return (shown, isDirectory) => {
    const path = shown.map(globbedName);
    return filters.some((filter) => filter(path, isDirectory)) || (nameOnly && path.at(-1) === literally) || path.join("/") === literally;
  };
}

function filterOne(pattern: string): NameFilter {
  const directoriesOnly = pattern.endsWith("/");
  const body = directoriesOnly ? pattern.slice(0, -1) : pattern;
  const glob = compileGlob(body.replace(/^\.?\//, ""));
  const nameOnly = !body.includes("/");
  return (path, isDirectory) => (isDirectory || !directoriesOnly) && matchesGlob(glob, nameOnly ? path.slice(-1) : path);
}
