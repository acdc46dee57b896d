import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../config.ts";
import { CliError, ExitCode } from "../errors.ts";
import { withStackLock } from "./lock.ts";
import type { StackPaths } from "./paths.ts";
import { processesNaming } from "./processes.ts";
import { NODE_PROGRAM, PROGRAMS, staleBundles, type Version, WATCHER_PROGRAM } from "./programs.ts";
import { runningVersion } from "./record.ts";
import { remembered } from "./remembered-id.ts";

/** The version that runs beside the one of the checkout. */
export interface VersionStatus {
  /** `null`: from the checkout itself, as an older leaf did. */
  readonly running: string | null;
  /** `null`: sources that are newer than their bundles. */
  readonly checkout: string | null;
  readonly outdated: boolean;
}

/** The part of a package with a native add-on that Linux needs. */
const ADD_ON = ["package.json", "lib", "build/Release"].map((part) => join("node_modules/node-pty", part));
/** The files whose contents make a version. */
const CONTENTS = ["package.json", ...PROGRAMS.map((program) => join("dist", program)), ...ADD_ON, WATCHER_PROGRAM];
/** Compiled code, which only makes it start faster. */
const COMPILED = "node_modules/.cache/leaf";

/** A version that was chosen this recently may be about to be started. */
const CHOSEN_LATELY_MS = 10 * 60_000;
/** Remembers the checkout's version. */
const MEMORY = join(REPOSITORY, ".versions", "checkout.json");
const DRAFT = ".new-";
const OLD = ".old-";

/**
 * The version of the checkout. It is made if it is missing; bundles that are older than their sources are built first.
 * It appears whole or not at all, under a name that identifies its contents.
 */
export async function prepareVersion(paths: StackPaths): Promise<Version> {
  const directory = versionsDirectory(paths);
  mkdirSync(directory, { recursive: true });
  return await withVersions(directory, async () => {
    const stale = staleBundles(REPOSITORY);
    if (stale.length > 0) await bundle(stale);
    const id = checkoutVersion() ?? "";
    const root = join(directory, id);
    const version = id !== "" && existsSync(root) ? { id, root } : make(directory);
    const now = new Date();
    utimesSync(version.root, now, now);
    return version;
  });
}

/** The id of the checkout's version; `undefined` if its sources are newer than its bundles, or it is being installed. */
export function checkoutVersion(): string | undefined {
  try {
    return staleBundles(REPOSITORY).length === 0 ? remembered(MEMORY, contentsOf(REPOSITORY), () => idOf(REPOSITORY)) : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Compare what runs with what the checkout has. */
export function compareVersions(paths: StackPaths): VersionStatus {
  const [running, checkout] = [runningVersion(paths)?.id ?? null, checkoutVersion() ?? null];
  return { running, checkout, outdated: running === null || running !== checkout };
}

/** Remove versions that no process uses, except the newest and those that were chosen lately. What can't be removed stays. */
export async function removeUnusedVersions(paths: StackPaths): Promise<void> {
  const directory = versionsDirectory(paths);
  if (!existsSync(directory)) return;
  await withVersions(directory, async () => {
    const entries = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const found = entries.map(({ name }) => ({ name, root: join(directory, name), usedMs: statSync(join(directory, name)).mtimeMs }));
    const newest = Math.max(...found.map(({ usedMs }) => usedMs));
    for (const { name, root, usedMs } of found) {
      if (usedMs === newest || Date.now() - usedMs < CHOSEN_LATELY_MS || processesNaming(`${root}${sep}`).length > 0) continue;
      const old = name.startsWith(OLD) ? root : join(directory, `${OLD}${name}`);
      if (old !== root) renameSync(root, old);
      rmSync(old, { recursive: true, force: true });
    }
  });
}

/** In the checkout, so that its stacks share versions and files can be links; in the state directory if the checkout is another user's. */
function versionsDirectory(paths: StackPaths): string {
  try {
    accessSync(REPOSITORY, constants.W_OK);
    return join(REPOSITORY, ".versions");
  } catch {
    return join(paths.dir, "versions");
  }
}

function withVersions<T>(directory: string, work: () => Promise<T>): Promise<T> {
  return withStackLock({ lock: join(directory, "lock"), dir: directory }, () => undefined, work);
}

function make(directory: string): Version {
  const draft = mkdtempSync(join(directory, DRAFT));
  // The users that commands run as start programs of it, as in the checkout.
  chmodSync(draft, statSync(REPOSITORY).mode & 0o755);
  try {
    for (const part of CONTENTS) copyTree(join(REPOSITORY, part), join(draft, part));
    if (process.execPath.startsWith(`${REPOSITORY}${sep}`)) linkTree(process.execPath, join(draft, NODE_PROGRAM));
    if (existsSync(join(REPOSITORY, COMPILED))) linkTree(join(REPOSITORY, COMPILED), join(draft, COMPILED));
    const id = idOf(draft);
    const root = join(directory, id);
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

/** A hash of names and contents, and of Node's version. */
function idOf(root: string): string {
  const hash = createHash("sha256").update(`${process.version} ${process.arch}\n`);
  for (const path of contentsOf(root)) {
    const content = readFileSync(path);
    hash.update(`${relative(root, path)} ${content.length}\n`).update(content);
  }
  return hash.digest("hex").slice(0, 16);
}

/** The files below a directory, or the file itself, always in the same order. */
function filesBelow(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesBelow(join(path, name)));
}

/** Copy a file or a directory; if the file system can, both share blocks until one of them is written. */
function copyTree(from: string, to: string): void {
  mirror(from, to, (source, target) => copyFileSync(source, target, constants.COPYFILE_FICLONE));
}

/** As {@link copyTree}, but by hard links if possible, for files that are replaced and never written in place. */
function linkTree(from: string, to: string): void {
  mirror(from, to, (source, target) => {
    try {
      linkSync(source, target);
    } catch (error) {
      // Another file system, one without links, or files of another user.
      if (!["EXDEV", "EPERM", "ENOTSUP", "EMLINK", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
      copyFileSync(source, target, constants.COPYFILE_FICLONE);
    }
  });
}

function mirror(from: string, to: string, put: (source: string, target: string) => void): void {
  const made = new Set<string>();
  for (const source of filesBelow(from)) {
    const target = join(to, relative(from, source));
    const directory = dirname(target);
    if (!made.has(directory)) mkdirSync(directory, { recursive: true });
    made.add(directory);
    put(source, target);
  }
}
