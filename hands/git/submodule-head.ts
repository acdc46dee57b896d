import { HarnessError } from "@serverless-harness/kit/errors";
import { locate } from "@serverless-harness/kit/paths/locate";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { type BytePath, shownName } from "../fs/byte-names.ts";
import { commonDirOf, type ExistingLocation, type Find, gitDirOf, isThere, readPointer } from "./git-dir.ts";

/** What a workspace has in the place of a submodule: its commit; nothing that says one, as when it was never fetched; or no directory. */
export type SubmoduleState = { readonly commit: string } | "unknown" | "gone";

const COMMIT = /^[0-9a-f]{40}$/;
/** Names of refs that lead nowhere but down. */
const REF = /^ref: (refs\/(?:(?!\.)[^/\0\n]+\/?)+)$/;

/**
 * Look at a submodule of a workspace while commands may change it. It is read by handles, and never by git: what a repository in a workspace configures could
 * have git run something.
 */
export async function submoduleState(workspace: string, path: BytePath): Promise<SubmoduleState> {
  using opened = new DisposableStack();
  const find: Find = (from) => {
    const location = opened.use(locate([{ path: workspace }], from, { follow: true }));
    if (location.entry === undefined) throw Object.assign(new Error(`${from} is missing`), { code: "ENOENT" });
    return location as ExistingLocation;
  };
  try {
    using top = locate([{ path: workspace }], shownName(path), { follow: false });
    if (top.entry?.stat().isDirectory() !== true) return "gone";
    const place = find(top.resolvedPath);
    if (!isThere(place, ".git")) return "unknown";
    const gitDir = await gitDirOf(find, place.resolvedPath);
    const commit = await headOf(find, gitDir);
    return commit === undefined ? "unknown" : { commit };
  } catch (error) {
    // A repository that can't be read says nothing about its commit.
    if (error instanceof HarnessError || errnoOf(error) !== undefined) return "unknown";
    throw error;
  }
}

async function headOf(find: Find, gitDir: ExistingLocation): Promise<string | undefined> {
  const head = await readPointer(find(`${gitDir.resolvedPath}/HEAD`));
  if (COMMIT.test(head)) return head;
  const name = REF.exec(head)?.[1];
  if (name === undefined) return undefined;
  const { resolvedPath } = await commonDirOf(find, gitDir);
  const loose = await readPointer(find(`${resolvedPath}/${name}`)).catch(() => undefined);
  if (loose !== undefined) return COMMIT.test(loose) ? loose : undefined;
  const packed = await readPointer(find(`${resolvedPath}/packed-refs`));
  const line = packed.split("\n").find((each) => each.slice(41) === name);
  return line?.slice(0, 40);
}
