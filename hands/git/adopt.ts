import { constants } from "node:fs";
import { copyFile, link, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import type { CloneView } from "./clones.ts";
import type { Git } from "./git.ts";
import type { ObjectStore } from "./object-store.ts";
import { BRANCHES, type Resolved } from "./resolve-ref.ts";

/** A clone's content at one time, taken over by a workspace's object store. */
export interface Adopted extends Resolved {
  readonly url: string;
  /** Names of the packs, without an ending. They are in the store, and stay. */
  readonly packs: readonly string[];
  readonly bytes: number;
  /** The remote's branches and the tags, as lines of a packed-refs file. */
  readonly refs: string;
  /** Content of git's file that tells where the history is cut off; empty if it is whole. */
  readonly shallow: string;
}

const PARTS = ["idx", "rev", "pack"];

/**
 * Take over all that a clone has, by hard links: at once, without disk space, and independent of what happens to the
 * clone from then on. For a clone that is locked. (Both places belong to the daemon alone; a link in a command's
 * reach could be written through.)
 */
export async function adopt(git: Git, clone: CloneView, store: ObjectStore): Promise<Adopted> {
  const from = join(clone.gitDir, "objects", "pack");
  const to = join(store.gitDir, "objects", "pack");
  await mkdir(to, { recursive: true });
  const names = new Set(await readdir(from));
  const packs = [...names].filter((name) => name.endsWith(".pack")).map((name) => name.slice(0, -".pack".length));
  let bytes = 0;
  for (const pack of packs) {
    // Marked to be kept before it is there, and there with its index first.
    await writeFile(join(to, `${pack}.keep`), "");
    for (const part of PARTS)
      if (names.has(`${pack}.${part}`)) await linkOrCopy(join(from, `${pack}.${part}`), join(to, `${pack}.${part}`));
    bytes += (await stat(join(to, `${pack}.pack`))).size;
  }
  const refs = await git.text(["for-each-ref", "--format=%(objectname) %(refname)", BRANCHES, "refs/tags"], { gitDir: clone.gitDir });
  const shallow = await readFile(join(clone.gitDir, "shallow"), "latin1").catch(() => "");
  return { commit: clone.commit, branch: clone.branch, url: clone.url, packs, bytes, refs: refs === "" ? "" : `${refs}\n`, shallow };
}

/** Let go of what an earlier try took over. */
export async function unadopt(store: ObjectStore): Promise<void> {
  await rm(join(store.gitDir, "objects", "pack"), { recursive: true, force: true });
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") return;
    if (errno !== "EXDEV" && errno !== "EPERM" && errno !== "EMLINK") throw error;
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  }
}
