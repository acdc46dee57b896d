import type { Git } from "./git.ts";
import { GitFailure } from "./git-failure.ts";

/** What a ref stands for. */
export interface Resolved {
  readonly commit: string;
  /** The branch that was meant; `undefined` for a tag or a commit. */
  readonly branch: string | undefined;
}

/** Where a clone keeps a remote's branches. Tags are in their usual place. */
export const BRANCHES = "refs/remotes/origin/";
/** Where a clone keeps what was asked for and is no branch or tag. */
const EXTRAS = "refs/harness/";

const COMMIT = /^[0-9a-f]{40}$/;
const ABBREVIATED = /^[0-9a-f]{7,40}$/;

/** The ref is a whole commit id. */
export function isCommitId(ref: string): boolean {
  return COMMIT.test(ref);
}

/** The ref is the full name of what is neither a branch nor a tag, as `refs/pull/1/head`. */
export function isExtra(ref: string): boolean {
  return /^refs\/(?!heads\/|tags\/)/.test(ref);
}

/** Find a ref in a clone as it is: a full ref name, a branch, a tag, a commit. `undefined` if there is none of these. */
export async function resolveRef(git: Git, gitDir: string, ref: string): Promise<Resolved | undefined> {
  for (const { name, branch } of candidates(ref)) {
    const commit = await commitOf(git, gitDir, name);
    if (commit !== undefined) return { commit, branch };
  }
  return undefined;
}

/** Commit of a ref name or id that holds no expression; `undefined` if there is none. */
async function commitOf(git: Git, gitDir: string, name: string): Promise<string | undefined> {
  try {
    return await git.text(["rev-parse", "--verify", "--quiet", `${name}^{commit}`], { gitDir });
  } catch (error) {
    if (error instanceof GitFailure && error.end.kind === "exit" && error.end.code === 1) return undefined;
    throw error;
  }
}

function candidates(ref: string): { name: string; branch: string | undefined }[] {
  const [, kind, short] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? [];
  if (kind === "heads" && short !== undefined) return [{ name: `${BRANCHES}${short}`, branch: short }];
  if (kind === "tags") return [{ name: ref, branch: undefined }];
  if (isExtra(ref)) return [{ name: extraName(ref), branch: undefined }];
  return [
    { name: `${BRANCHES}${ref}`, branch: ref },
    { name: `refs/tags/${ref}`, branch: undefined },
    ...(ABBREVIATED.test(ref) ? [{ name: ref, branch: undefined }] : []),
  ];
}

/** Where a clone keeps a full ref name or a commit of the remote that is neither branch nor tag. */
export function extraName(ref: string): string {
  return `${EXTRAS}${ref}`;
}
