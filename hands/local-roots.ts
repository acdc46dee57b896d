import { realpathSync, statSync } from "node:fs";
import { isAbsolute, join, normalize } from "node:path";
import type { EnvReader } from "@serverless-harness/kit/env";
import type { Root } from "@serverless-harness/kit/paths/locate";

/** The setting that names directories whose repositories may be cloned. */
const VARIABLE = "HANDS_LOCAL_REPOSITORIES";

/**
 * Read the directories whose repositories may be cloned by their paths: absolute ones, with colons between. `own` are
 * hands' own directories by their settings: none may be in one of those, which hold tenants' files. `shownIn`: the
 * directory that shows them by their number in the jail; they were checked outside then.
 */
export function readLocalRoots(env: EnvReader, own: Readonly<Record<string, string>>, shownIn: string | undefined): Root[] {
  const paths = (env.optional(VARIABLE) ?? "").split(":").filter((path) => path !== "");
  if (shownIn !== undefined) return paths.map((path, index) => ({ path: withoutSlash(path), at: join(shownIn, String(index)) }));
  return paths.flatMap((path) => {
    const problem = problemOf(path, own);
    if (problem === undefined) return [{ path: withoutSlash(path), at: realpathSync(path) }];
    env.problem(`${VARIABLE} names ${JSON.stringify(path)}: ${problem}`);
    return [];
  });
}

function problemOf(path: string, own: Readonly<Record<string, string>>): string | undefined {
  if (!isAbsolute(path)) return "it must be an absolute directory, or several separated by colons";
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return "it must be a directory that exists";
  const real = realpathSync(path);
  const [setting] = Object.entries(own).find(([, directory]) => `${real}/`.startsWith(`${realPathOf(directory)}/`)) ?? [];
  return setting === undefined ? undefined : `it is in ${setting}, where other tenants' files are; choose a directory beside it`;
}

/** A directory's path without links, as far as it is there already. */
function realPathOf(path: string): string {
  const existing = statSync(path, { throwIfNoEntry: false }) !== undefined;
  return existing ? realpathSync(path) : normalize(path);
}

function withoutSlash(path: string): string {
  return normalize(path).replace(/(?<=.)\/+$/, "");
}
