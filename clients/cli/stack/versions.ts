import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../config.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { withStackLock } from "./lock.ts";
import { copyTree, filesBelow, linkTree } from "./mirror.ts";
import type { StackPaths } from "./paths.ts";
import { processesNaming } from "./processes.ts";
import { PROGRAMS, staleBundles } from "./programs.ts";
import { remembered } from "./remembered-id.ts";

/** All that a stack runs from, apart from the checkout: what is built or installed there later does not change it. */
export interface Version {
  /** A hash of what it holds. */
  readonly id: string;
  /** Its directory, laid out as the checkout. */
  readonly root: string;
}

/** The part of a package with a native add-on that Linux needs. */
const ADD_ON = ["package.json", "lib", "build/Release"].map((part) => join("node_modules/node-pty", part));
/** What starts services and stays to start them again. */
const WATCHER = "clients/cli/watcher/build/watcher";
/** What makes a version another one. */
const CONTENTS = ["package.json", ...PROGRAMS.map((program) => join("dist", program)), ...ADD_ON, WATCHER];
/** What only makes it start quickly. */
const COMPILED = "node_modules/.cache/leaf";
const NODE = "node_modules/node/bin/node";

/** A version that was chosen so lately may be about to be started. */
const CHOSEN_LATELY_MS = 10 * 60_000;
/** What the checkout's version was when somebody asked the last time. */
const MEMORY = join(REPOSITORY, ".versions", "checkout.json");
const DRAFT = ".new-";
const OLD = ".old-";

/**
 * The version of the checkout, made if it is not there yet; bundles that are older than their sources are built again first. It appears whole or not
 * at all, under a name that tells what it holds.
 */
export async function prepareVersion(paths: StackPaths): Promise<Version> {
  const place = placeOfVersions(paths);
  mkdirSync(place, { recursive: true });
  return await withVersions(place, async () => {
    const stale = staleBundles(REPOSITORY);
    if (stale.length > 0) await bundle(stale);
    const id = checkoutVersion() ?? "";
    const root = join(place, id);
    const version = id !== "" && existsSync(root) ? { id, root } : make(place);
    const now = new Date();
    utimesSync(version.root, now, now);
    return version;
  });
}

/** The id of the checkout's version; `undefined` if its sources are newer than its bundles, or it is being installed just now. */
export function checkoutVersion(): string | undefined {
  try {
    return staleBundles(REPOSITORY).length === 0 ? remembered(MEMORY, contentsOf(REPOSITORY), () => idOf(REPOSITORY)) : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The Node that runs a version: its own, unless `leaf` runs on one that is installed elsewhere, which no build replaces. */
export function nodeOf({ root }: Version): string {
  const own = join(root, NODE);
  return existsSync(own) ? own : process.execPath;
}

/** The program of a version that watches a service. */
export function watcherOf({ root }: Version): string {
  return join(root, WATCHER);
}

/** Remove versions that no process uses, but for the newest and those that were chosen lately. What can't be removed stays. */
export async function removeUnusedVersions(paths: StackPaths): Promise<void> {
  const place = placeOfVersions(paths);
  if (!existsSync(place)) return;
  await withVersions(place, async () => {
    const entries = readdirSync(place, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const found = entries.map(({ name }) => ({ name, root: join(place, name), usedMs: statSync(join(place, name)).mtimeMs }));
    const newest = Math.max(...found.map(({ usedMs }) => usedMs));
    for (const { name, root, usedMs } of found) {
      if (usedMs === newest || Date.now() - usedMs < CHOSEN_LATELY_MS || processesNaming(`${root}${sep}`).length > 0) continue;
      const old = name.startsWith(OLD) ? root : join(place, `${OLD}${name}`);
      if (old !== root) renameSync(root, old);
      rmSync(old, { recursive: true, force: true });
    }
  });
}

/** In the checkout, so that its stacks share them and files can be links; in the state directory if the checkout is another user's. */
function placeOfVersions(paths: StackPaths): string {
  try {
    accessSync(REPOSITORY, constants.W_OK);
    return join(REPOSITORY, ".versions");
  } catch {
    return join(paths.dir, "versions");
  }
}

function withVersions<T>(place: string, work: () => Promise<T>): Promise<T> {
  return withStackLock({ lock: join(place, "lock"), dir: place }, () => undefined, work);
}

function make(place: string): Version {
  const draft = mkdtempSync(join(place, DRAFT));
  // Users that commands run as start programs of it, as they would in the checkout.
  chmodSync(draft, statSync(REPOSITORY).mode & 0o755);
  try {
    for (const part of CONTENTS) copyTree(join(REPOSITORY, part), join(draft, part));
    if (process.execPath.startsWith(`${REPOSITORY}${sep}`)) linkTree(process.execPath, join(draft, NODE));
    if (existsSync(join(REPOSITORY, COMPILED))) linkTree(join(REPOSITORY, COMPILED), join(draft, COMPILED));
    const id = idOf(draft);
    const root = join(place, id);
    if (!existsSync(root)) renameSync(draft, root);
    return { id, root };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const message = `${(error as NodeJS.ErrnoException).path} is missing: run \`npm run setup\` in the checkout`;
    throw new CliError(ExitCode.refused, "not_set_up", message, error);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

async function bundle(programs: readonly string[]): Promise<void> {
  const main = join(REPOSITORY, "scripts/bundle/main.ts");
  await promisify(execFile)(process.execPath, [main, ...programs]).catch((error: { stderr?: string; message: string }) => {
    throw new CliError(ExitCode.refused, "not_bundled", `the services can't be bundled: ${(error.stderr || error.message).trim()}`, error);
  });
}

function contentsOf(root: string): string[] {
  return CONTENTS.flatMap((part) => filesBelow(join(root, part)));
}

/** A hash of names and contents; the machine's Node counts by its version. */
function idOf(root: string): string {
  const hash = createHash("sha256").update(`${process.version} ${process.arch}\n`);
  for (const path of contentsOf(root)) {
    const content = readFileSync(path);
    hash.update(`${relative(root, path)} ${content.length}\n`).update(content);
  }
  return hash.digest("hex").slice(0, 16);
}
