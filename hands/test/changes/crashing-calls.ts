import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Client, createClient, createRouterTransport } from "@connectrpc/connect";
import { boundary, createLogger } from "@serverless-harness/kit/log";
import { FileService } from "@serverless-harness/proto/hands";
import { Changes, type ChangesOptions } from "../../changes/changes.ts";
import type { Durability } from "../../fs/durable.ts";
import { fileService } from "../../rpc/file.ts";
import { Workspaces } from "../../workspaces/workspaces.ts";
import { messages } from "../streams.ts";

/** A changing call that is crashed and repeated, in a workspace of its own. */
export interface CrashingCall {
  /** Prepare the workspace. */
  readonly setUp?: (path: string) => void;
  call(files: Client<typeof FileService>, workspace: string): Promise<{ replayed: boolean }>;
  /** What a command does between the crash and the repetition: a second application would undo it. */
  readonly disturb: (path: string) => void;
}

const change = (workspace: string) => ({ changeId: "change", workspace, epoch: 1n });

function write(path: string, text: string, options: { append?: boolean; ifMatch?: string } = {}): CrashingCall["call"] {
  return (files, workspace) =>
    files.write(
      messages(
        { part: { case: "header" as const, value: { ...change(workspace), path, ...options } } },
        { part: { case: "data" as const, value: Buffer.from(text) } },
      ),
    );
}

const file = (name: string, content: string) => (path: string) => writeFileSync(join(path, name), content);
const tree = (path: string): void => {
  mkdirSync(join(path, "tree/below"), { recursive: true });
  writeFileSync(join(path, "tree/below/file"), "x");
};

/** Every kind of change, by name. */
export const CRASHING_CALLS: Readonly<Record<string, CrashingCall>> = {
  create: { call: write("file", "new"), disturb: file("file", "disturbed") },
  "create-with-parents": { call: write("a/b/file", "new"), disturb: (path) => rmSync(join(path, "a"), { recursive: true }) },
  "create-first": { call: write("file", "new", { ifMatch: "*" }), disturb: (path) => rmSync(join(path, "file")) },
  replace: { setUp: file("file", "old"), call: write("file", "new"), disturb: (path) => rmSync(join(path, "file")) },
  append: { setUp: file("file", "old\n"), call: write("file", "new\n", { append: true }), disturb: file("file", "rotated") },
  edit: {
    setUp: file("file", "a"),
    call: (files, workspace) => files.edit({ ...change(workspace), path: "file", edits: [{ oldText: "a", newText: "aa" }] }),
    disturb: (path) => renameSync(join(path, "file"), join(path, "elsewhere")),
  },
  mkdir: {
    call: (files, workspace) => files.mkdir({ ...change(workspace), path: "directory" }),
    disturb: (path) => rmSync(join(path, "directory"), { recursive: true }),
  },
  "mkdir-recursive": {
    call: (files, workspace) => files.mkdir({ ...change(workspace), path: "a/b/c", recursive: true }),
    disturb: (path) => rmSync(join(path, "a"), { recursive: true }),
  },
  move: {
    setUp: file("file", "moved"),
    call: (files, workspace) => files.move({ ...change(workspace), source: "file", destination: "there" }),
    disturb: file("file", "made again"),
  },
  "move-directory": {
    setUp: tree,
    call: (files, workspace) => files.move({ ...change(workspace), source: "tree", destination: "there" }),
    disturb: (path) => execFileSync("cp", ["-r", join(path, "there"), join(path, "tree")]),
  },
  remove: {
    setUp: file("file", "old"),
    call: (files, workspace) => files.remove({ ...change(workspace), path: "file" }),
    disturb: file("file", "made again"),
  },
  "remove-tree": {
    setUp: tree,
    call: (files, workspace) => files.remove({ ...change(workspace), path: "tree", recursive: true }),
    disturb: tree,
  },
  "remove-empty-directory": {
    setUp: (path) => mkdirSync(join(path, "empty")),
    call: (files, workspace) => files.remove({ ...change(workspace), path: "empty" }),
    disturb: (path) => mkdirSync(join(path, "empty")),
  },
};

/** The workspace of a call. */
export function workspaceOf(name: string): string {
  return `crash/${name}`;
}

/** The file service on a directory, as after a start of the daemon, without a server in between. */
export async function openService(base: string, failpoint?: NonNullable<ChangesOptions["failpoint"]>, durability: Durability = "process") {
  const log = createLogger("test", "silent");
  const workspaces = await Workspaces.open({ root: join(base, "workspaces"), state: join(base, "state") });
  const changes = new Changes({ workspaces, durability, log, ...(failpoint === undefined ? {} : { failpoint }) });
  const service = fileService({ workspaces, changes });
  const transport = createRouterTransport((router) => void router.service(FileService, service), {
    router: { interceptors: [boundary(log)] },
  });
  return { workspaces, files: createClient(FileService, transport) };
}

/** Everything below a directory: paths, and the content of files. */
export function snapshot(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of existsSync(path) ? (readdirSync(path, { recursive: true }) as string[]) : []) {
    const at = join(path, name);
    found[name] = lstatSync(at).isFile() ? readFileSync(at, "utf8") : "directory";
  }
  return found;
}
