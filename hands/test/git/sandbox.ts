import { execFileSync } from "node:child_process";
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { DirectoryArtifacts } from "../../artifacts/directory.ts";
import { Clones } from "../../git/clones.ts";
import type { DiffSummary } from "../../git/diff.ts";
import { Git } from "../../git/git.ts";
import { WorkspaceTrees, type WorkspaceTreesOptions } from "../../git/workspace-trees.ts";
import type { Workspace } from "../../workspaces/workspaces.ts";
import { everywhere } from "../fixtures/trees.ts";
import { ARTIFACTS_KEY } from "./fixtures/artifacts-key.ts";

/** A sandbox's git side: a daemon's state, workspaces, and an artifact store that several sandboxes may share. */
export class Sandbox {
  readonly base: string;
  readonly artifactDirectory: string;
  readonly clones: Clones;
  readonly git = new Git();
  readonly trees: WorkspaceTrees;

  private constructor(base: string, artifactDirectory: string, clones: Clones, options: Partial<WorkspaceTreesOptions>) {
    this.base = base;
    this.artifactDirectory = artifactDirectory;
    this.clones = clones;
    this.trees = this.restarted(options);
  }

  static async open(options: Partial<WorkspaceTreesOptions> & { artifactDirectory?: string } = {}): Promise<Sandbox> {
    const base = await temporaryDirectory();
    const clones = await Clones.open({ git: new Git(), directory: join(base, "state", "clones"), local: everywhere });
    return new Sandbox(base, options.artifactDirectory ?? join(base, "artifacts"), clones, options);
  }

  /** A daemon that starts on the same state. */
  restarted(options: Partial<WorkspaceTreesOptions> = {}): WorkspaceTrees {
    return new WorkspaceTrees({
      git: this.git,
      clones: this.clones,
      artifacts: new DirectoryArtifacts(this.artifactDirectory),
      artifactsKey: ARTIFACTS_KEY,
      ...options,
    });
  }

  /** A workspace's places; its directory is there and empty. */
  workspace(name = "acme/one"): Workspace {
    const path = join(this.base, "workspaces", name);
    const stateDirectory = join(this.base, "state", "workspaces", name);
    mkdirSync(path, { recursive: true });
    mkdirSync(stateDirectory, { recursive: true });
    return { name, path, stateDirectory, stagingDirectory: join(this.base, "workspaces", ".staging", name) };
  }

  /** A workspace made from git. */
  async checkedOut(url: string, ref = "", name?: string): Promise<Workspace> {
    const workspace = this.workspace(name);
    await this.trees.checkOut(workspace, workspace.path, { url, ref });
    return workspace;
  }

  /** The whole patch since the workspace was made, or since a snapshot. */
  async diff(workspace: Workspace, sinceSnapshotId = "", maxBytes = 1 << 28): Promise<{ patch: Buffer } & DiffSummary> {
    const chunks: Buffer[] = [];
    for await (const part of this.trees.diff(workspace, { sinceSnapshotId, maxBytes })) {
      if ("summary" in part) return { patch: Buffer.concat(chunks), ...part.summary };
      chunks.push(part.patch);
    }
    throw new Error("a diff without a summary");
  }
}

/** Run git as a user does. */
export function git(directory: string, ...args: string[]): string {
  const identity = [
    "-c",
    "user.name=user",
    "-c",
    "user.email=user@example.com",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "protocol.file.allow=always",
  ];
  return execFileSync("git", [...identity, ...args], { cwd: directory, encoding: "latin1", stdio: ["ignore", "pipe", "pipe"] }).trim();
}

/** What is written at a path: a text, a file with a mode, a link, or nothing (what is there goes). */
export type Content = string | Buffer | { readonly mode: number; readonly text: string } | { readonly link: string } | undefined;

/** Write files below a directory. */
export function write(directory: string, files: Record<string, Content>): void {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    rmSync(path, { recursive: true, force: true });
    if (content === undefined) continue;
    mkdirSync(dirname(path), { recursive: true });
    if (typeof content === "string" || Buffer.isBuffer(content)) writeFileSync(path, content);
    else if ("link" in content) symlinkSync(content.link, path);
    else {
      writeFileSync(path, content.text);
      chmodSync(path, content.mode);
    }
  }
}

/** A repository with one commit on `main`. */
export async function repository(files: Record<string, Content> = { "README.md": "hello\n" }): Promise<string> {
  const directory = join(await temporaryDirectory(), "repository");
  mkdirSync(directory);
  git(directory, "init", "-q", "-b", "main");
  write(directory, files);
  commit(directory, "first");
  return directory;
}

/** Commit everything, and return the id. */
export function commit(directory: string, message = "more"): string {
  git(directory, "add", "-A");
  git(directory, "commit", "-q", "--allow-empty", "-m", message);
  return git(directory, "rev-parse", "HEAD");
}

/** Everything below a directory but `.git`: each file's executable bit and content, each link's target, by path as bytes. */
export function contents(directory: string, prefix = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(Buffer.from(directory, "latin1"), { encoding: "latin1", withFileTypes: true })) {
    if (entry.name === ".git") continue;
    const path = join(directory, entry.name);
    const bytes = Buffer.from(path, "latin1");
    if (entry.isDirectory()) Object.assign(found, contents(path, `${prefix}${entry.name}/`));
    else if (entry.isSymbolicLink()) found[prefix + entry.name] = `-> ${readlinkSync(bytes, "latin1")}`;
    else if (entry.isFile())
      found[prefix + entry.name] = `${(lstatSync(bytes).mode & 0o100) === 0 ? "file" : "program"}: ${readFileSync(bytes, "latin1")}`;
  }
  return found;
}

/** Reason of the HarnessError that a call throws. */
export async function reasonOf(call: () => unknown): Promise<string> {
  return (await failureOf(call))?.reason ?? "none";
}

/** The HarnessError that a call throws, if it throws. */
export async function failureOf(call: () => unknown): Promise<HarnessError | undefined> {
  try {
    await call();
  } catch (error) {
    if (error instanceof HarnessError) return error;
    throw error;
  }
  return undefined;
}
