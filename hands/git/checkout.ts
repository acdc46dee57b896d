import { constants } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import type { Adopted } from "./adopt.ts";
import type { Git } from "./git.ts";
import type { ObjectStore } from "./object-store.ts";
import { BRANCHES } from "./resolve-ref.ts";

export interface CheckoutOptions {
  /** With more bytes of history than these the workspace gets the commit alone (a shallow repository). Default 1 GiB. */
  readonly historyBytes?: number;
  /** Who commits if nobody else is named. Default `agent <agent@localhost>`. */
  readonly identity?: { readonly name: string; readonly email: string };
  readonly signal?: AbortSignal;
}

const HISTORY_BYTES = 1024 * 1024 * 1024;
const LONG_MS = 15 * 60_000;

/** Branch that a shallow or detached repository starts with, unborn. */
const NO_BRANCH = "main";

/**
 * Make a directory, which must be empty and out of the reach of commands until this is done, a working tree of a commit with a whole
 * repository of its own in `.git`.
 *
 * It is no git worktree, and shares no object by links or alternates: a workspace may do to its repository whatever it likes (rewrite packs in
 * place, collect garbage, remove it) without a trace in the clone or in its siblings, commands need not be able to read the clone, and it stays whole
 * if the clone is removed. The price is a copy of the packs, for which file systems that can share blocks need no space.
 */
export async function checkOut(
  git: Git,
  store: ObjectStore,
  adopted: Adopted,
  directory: string,
  options: CheckoutOptions = {},
): Promise<void> {
  const gitDir = join(directory, ".git");
  const call = { gitDir, workTree: directory, timeoutMs: LONG_MS, ...(options.signal === undefined ? {} : { signal: options.signal }) };
  const branch = adopted.branch ?? NO_BRANCH;
  await mkdir(directory, { recursive: true });
  await git.run(["init", "--quiet", "--template=", `--initial-branch=${branch}`, directory], { gitDir: undefined, cwd: directory });
  const shallow = adopted.bytes > (options.historyBytes ?? HISTORY_BYTES);
  if (shallow) {
    await store.run(["config", "uploadpack.allowAnySHA1InWant", "true"]);
    const fixed = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
    const remote = pathToFileURL(store.gitDir).href;
    const target = adopted.branch === undefined ? [] : [`:${BRANCHES}${adopted.branch}`];
    await git.run([...(fixed as ["fetch"]), "--", remote, `${adopted.commit}${target.join("")}`], { ...call, protocols: ["file"] });
  } else {
    await copyPacks(adopted, store, gitDir);
    await writeFile(join(gitDir, "packed-refs"), adopted.refs, { encoding: "latin1" });
    if (adopted.shallow !== "") await writeFile(join(gitDir, "shallow"), adopted.shallow);
  }
  await writeFile(join(gitDir, "config"), configOf(adopted, options));
  // What git's own template has, and tools write to.
  for (const name of ["info", "hooks"]) await mkdir(join(gitDir, name), { recursive: true });
  await writeFile(join(gitDir, "info", "exclude"), "");
  // The repository's attributes apply, as they will for the workspace's own git; no configuration names a program for them to start.
  await git.run(
    adopted.branch === undefined ? ["checkout", "--quiet", "--detach", adopted.commit] : ["reset", "--quiet", "--hard", adopted.commit],
    call,
  );
}

async function copyPacks(adopted: Adopted, store: ObjectStore, gitDir: string): Promise<void> {
  const from = join(store.gitDir, "objects", "pack");
  const to = join(gitDir, "objects", "pack");
  await mkdir(to, { recursive: true });
  for (const pack of adopted.packs) {
    for (const part of ["pack", "rev", "idx"]) {
      await copyFile(join(from, `${pack}.${part}`), join(to, `${pack}.${part}`), constants.COPYFILE_FICLONE).catch((error: unknown) => {
        // Older versions of git make no reverse index.
        if (part !== "rev" || errnoOf(error) !== "ENOENT") throw error;
      });
    }
  }
}

function configOf({ url, branch }: Adopted, { identity }: CheckoutOptions): string {
  const { name, email } = identity ?? { name: "agent", email: "agent@localhost" };
  const lines = [
    "[core]",
    "\trepositoryformatversion = 0",
    "\tfilemode = true",
    "\tbare = false",
    "\tlogallrefupdates = true",
    "[user]",
    `\tname = ${quoteSetting(name)}`,
    `\temail = ${quoteSetting(email)}`,
    '[remote "origin"]',
    `\turl = ${quoteSetting(url)}`,
    `\tfetch = +refs/heads/*:${BRANCHES}*`,
  ];
  if (branch !== undefined)
    lines.push(`[branch ${quoteSetting(branch)}]`, "\tremote = origin", `\tmerge = ${quoteSetting(`refs/heads/${branch}`)}`);
  return `${lines.join("\n")}\n`;
}

/** A text as git's configuration files hold it. */
export function quoteSetting(text: string): string {
  return `"${text.replace(/["\\]/g, (char) => `\\${char}`)}"`;
}
