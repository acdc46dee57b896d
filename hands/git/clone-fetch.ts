import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Git, GitCall } from "./git.ts";
import { GitFailure, tellsDamage } from "./git-failure.ts";
import type { Remote } from "./remote.ts";
import { BRANCHES, extraName } from "./resolve-ref.ts";

/** A shared clone and what it is of. */
export interface CloneTarget {
  readonly git: Git;
  readonly remote: Remote;
  readonly limits: SourceLimits;
  /** The clone. If it is missing, a name beside it that ends in `.new` is used meanwhile. */
  readonly gitDir: string;
  /** How long a fetch may take, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A ref of a remote with its name takes no more bytes than these, as a rule. */
const REF_BYTES = 400;
const MIN_LISTING_BYTES = 1024 * 1024;
/** How often is looked at how much has come. */
const MEASURE_MS = 500;

const EVERYTHING = [`+refs/heads/*:${BRANCHES}*`, "+refs/tags/*:refs/tags/*"];

/** More packs than these, and reading gets slow: they are made one. */
const MAX_PACKS = 40;

/**
 * Fetch all branches and tags. A clone that turns out to be damaged is made again. If it fails, what was there stays: refs move only once
 * everything that they lead to has come, and a new clone appears by a rename. Throws a GitFailure.
 */
export async function fetchEverything(target: CloneTarget): Promise<void> {
  try {
    await fetchRefs(target, target.gitDir, EVERYTHING, ["--prune"]);
    await compact(target);
  } catch (error) {
    if (!(error instanceof GitFailure) || !tellsDamage(error)) throw error;
    await makeClone(target);
  }
}

/**
 * Fetch one ref or commit by its full name, and keep it as `extraName` tells. Resolves to false if the remote doesn't have it; any other
 * failure throws a GitFailure.
 */
export async function fetchExtra(target: CloneTarget, ref: string): Promise<boolean> {
  try {
    await fetchRefs(target, target.gitDir, [`+${ref}:${extraName(ref)}`], []);
    return true;
  } catch (error) {
    if (error instanceof GitFailure && /couldn't find remote ref|not our ref|unadvertised object|no such remote ref/i.test(error.stderr))
      return false;
    throw error;
  }
}

/**
 * What the remote's HEAD is: the name of a branch, as `refs/heads/main`, or if it is detached a commit. `undefined` if it has none.
 */
export async function remoteHead(target: CloneTarget): Promise<string | undefined> {
  const listing = await listRemote(target, ["--symref"], ["HEAD"]);
  const branch = /^ref: (refs\/heads\/[^\t]+)\tHEAD$/m.exec(listing)?.[1];
  const commit = /^([0-9a-f]{40})\tHEAD$/m.exec(listing)?.[1];
  // A branch without a commit is the one that the first commit will make.
  return commit === undefined ? undefined : (branch ?? commit);
}

/**
 * Ask the remote how much it has before it is fetched: RESOURCE_EXHAUSTED `source_too_large` for too many branches
 * and tags. Throws a GitFailure.
 */
export async function requireFewRefs(target: CloneTarget): Promise<void> {
  const { limits } = target;
  const listing = await listRemote(target, ["--heads", "--tags", "--refs"], []).catch((error: unknown) => {
    throw error instanceof GitFailure && error.end.kind === "output" ? sourceTooLarge("refs", limits) : error;
  });
  let refs = 0;
  for (let at = listing.indexOf("\t"); at !== -1; at = listing.indexOf("\t", at + 1)) refs += 1;
  if (refs > limits.refs) throw sourceTooLarge("refs", limits);
}

function listRemote({ git, remote, gitDir, timeoutMs, limits, signal }: CloneTarget, options: string[], names: string[]): Promise<string> {
  return git.text(["ls-remote", ...options, ...remote.options, "--", remote.address, ...names], {
    // It needs no repository, and the clone may not be there yet.
    gitDir: undefined,
    cwd: dirname(gitDir),
    ...accessOf(remote),
    maxOutputBytes: Math.max(limits.refs * REF_BYTES, MIN_LISTING_BYTES),
    timeoutMs: Math.min(timeoutMs, 60_000),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** Remove what git leaves behind when it is killed: locks that nobody holds any more, and half packs. For a clone that nobody works in. */
export async function removeLeftovers(gitDir: string): Promise<void> {
  await rm(`${gitDir}.new`, { recursive: true, force: true });
  await rm(`${gitDir}.old`, { recursive: true, force: true });
  const names = await readdir(gitDir, { recursive: true }).catch(() => []);
  for (const name of names) {
    if (name.endsWith(".lock") || /(?:^|\/)tmp_[^/]*$/.test(name)) await rm(join(gitDir, name), { recursive: true, force: true });
  }
}

/** Make the clone again; the old one goes once the new one is whole. Throws a GitFailure. */
export async function makeClone(target: CloneTarget): Promise<void> {
  const { git, gitDir } = target;
  const fresh = `${gitDir}.new`;
  await rm(fresh, { recursive: true, force: true });
  try {
    await mkdir(fresh, { mode: 0o700 });
    await git.run(["init", "--quiet", "--bare", "--template=", "--initial-branch=main", fresh], { gitDir: undefined, cwd: fresh });
    await fetchRefs(target, fresh, EVERYTHING, []);
    // A small or fast one is there before anybody measures.
    if ((await packBytes(fresh)) > target.limits.bytes) throw sourceTooLarge("bytes", target.limits);
    await rm(`${gitDir}.old`, { recursive: true, force: true });
    await rename(gitDir, `${gitDir}.old`).catch(() => undefined);
    await rename(fresh, gitDir);
  } finally {
    await rm(fresh, { recursive: true, force: true });
    await rm(`${gitDir}.old`, { recursive: true, force: true });
  }
}

async function fetchRefs(target: CloneTarget, gitDir: string, refspecs: readonly string[], options: readonly string[]): Promise<void> {
  const { git, remote, timeoutMs, limits, signal } = target;
  const fixed = [
    "--quiet",
    "--force",
    "--no-tags",
    "--update-shallow",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-recurse-submodules",
  ];
  const overflow = new AbortController();
  const measuring = setInterval(() => {
    // What can't be looked at now is looked at the next time.
    packBytes(gitDir, true).then(
      (bytes) => bytes > limits.bytes && overflow.abort(),
      () => undefined,
    );
  }, MEASURE_MS);
  try {
    await git.run(["fetch", ...fixed, ...options, ...remote.options, "--", remote.address, ...refspecs], {
      gitDir,
      ...accessOf(remote),
      timeoutMs,
      signal: signal === undefined ? overflow.signal : AbortSignal.any([signal, overflow.signal]),
    });
  } catch (error) {
    throw overflow.signal.aborted ? sourceTooLarge("bytes", limits) : error;
  } finally {
    clearInterval(measuring);
  }
}

/** How git gets at a remote. */
function accessOf({ protocol, descriptors, settings }: Remote): Pick<GitCall, "protocols" | "descriptors" | "settings"> {
  return { protocols: [protocol], descriptors, settings };
}

/** Bytes of packs; `ofFetch`: of those that are being written. */
async function packBytes(gitDir: string, ofFetch = false): Promise<number> {
  const packs = join(gitDir, "objects", "pack");
  const sizes = (await readdir(packs))
    .filter((name) => !ofFetch || name.startsWith("tmp_"))
    .map(async (name) => (await stat(join(packs, name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function compact({ git, gitDir, timeoutMs }: CloneTarget): Promise<void> {
  const packs = (await readdir(join(gitDir, "objects", "pack"))).filter((name) => name.endsWith(".pack"));
  if (packs.length > MAX_PACKS) await git.run(["repack", "-a", "-d", "-q"], { gitDir, timeoutMs });
}

/** Bounds of a repository that is cloned; those of its tree are {@link TreeLimits}, those of its time are in ClonesOptions. */
export interface SourceLimits {
  readonly refs: number;
  /** Bytes that a fetch may bring. */
  readonly bytes: number;
}

export const DEFAULT_SOURCE_LIMITS: SourceLimits = { refs: 50_000, bytes: 8 * 1024 * 1024 * 1024 };

const WHAT: Readonly<Record<keyof SourceLimits, (limit: number) => string>> = {
  refs: (limit) => `has more than ${limit} branches and tags`,
  bytes: (limit) => `has more than ${limit} bytes of history`,
};

/** RESOURCE_EXHAUSTED `source_too_large`: names the limit that was met. */
function sourceTooLarge(limit: keyof SourceLimits, limits: SourceLimits): HarnessError {
  const message = `the repository ${WHAT[limit](limits[limit])}, which is as much as is cloned: choose a smaller one, or a copy with less history`;
  return new HarnessError(Code.ResourceExhausted, "source_too_large", message, { metadata: { [limit]: String(limits[limit]) } });
}
