import { createHash } from "node:crypto";
import { basename, join } from "node:path/posix";
import {
  type Context,
  type ExecutionEnv,
  type ExecutionError,
  err,
  FileError,
  type FileInfo,
  ok,
  type ShellExecOptions,
  type ShellExecResult,
} from "@earendil-works/pi-agent-core";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { FileKind, type FileInfo as HandsFileInfo } from "@serverless-harness/proto/hands";
import { nextEffectId } from "./context.ts";
import { isFatal, toExecutionError, toFileError } from "./errors.ts";
import { type ExecTarget, runCommand } from "./exec.ts";
import { HandsLineReader } from "./line-reader.ts";
import { resolvePath } from "./paths.ts";

type Outcome<T, E> = { ok: true; value: T } | { ok: false; error: E };
type FileOutcome<T> = Promise<Outcome<T, FileError>>;

/** Largest file that is read whole: it has to fit into the brain, beside those of many other leaves. */
const MAX_READ_BYTES = 32 * 1024 * 1024;

/** What an environment stands on. */
export interface HandsEnvOptions {
  readonly workspace: WorkspaceClient;
  /** Absolute path of the workspace, as a command in it sees it. */
  readonly cwd: string;
  /**
   * The sandbox is out of reach, or has another owner. The harness has to be closed before this returns: the call that found out
   * still returns an error, which must not become a result that the model sees.
   */
  readonly onLost: (error: HarnessError) => void;
  /** As {@link ExecTarget.traceParent}. */
  readonly traceParent?: ExecTarget["traceParent"];
  /** As {@link ExecTarget.onStarted}. */
  readonly onStarted?: ExecTarget["onStarted"];
}

/**
 * Pi's execution environment over a workspace of hands. One object per workspace, as Pi's file lock is keyed by its identity. No
 * method throws. Every change happens once per id (see `context.ts`), so a tool that is replayed repeats nothing.
 */
export class HandsExecutionEnv implements ExecutionEnv {
  readonly cwd: string;
  readonly #options: HandsEnvOptions;

  constructor(options: HandsEnvOptions) {
    this.cwd = options.cwd;
    this.#options = options;
  }

  async exec(command: string, options: ShellExecOptions | undefined, context: Context): Promise<Outcome<ShellExecResult, ExecutionError>> {
    try {
      return ok(await runCommand(this.#options, command, options ?? {}, context));
    } catch (error) {
      return err(toExecutionError(error));
    }
  }

  async absolutePath(path: string): FileOutcome<string> {
    try {
      return ok(resolvePath(this.cwd, path));
    } catch (error) {
      return err(toFileError(error, path));
    }
  }

  async joinPath(parts: string[]): FileOutcome<string> {
    return ok(join(...parts));
  }

  readTextFile(path: string, context: Context): FileOutcome<string> {
    return this.call(path, context, async (hands, absolute) => Buffer.from(await readWhole(hands, absolute)).toString("utf8"));
  }

  readBinaryFile(path: string, context: Context): FileOutcome<Uint8Array> {
    return this.call(path, context, readWhole);
  }

  openTextLineReader(path: string, context: Context): FileOutcome<HandsLineReader> {
    return this.call(path, context, async (hands, absolute) => {
      const file = await hands.stat(absolute, { follow: true });
      return new HandsLineReader(file, absolute, async (offset, length, etag) => {
        const range = await this.call(absolute, context, () => hands.read(absolute, { offset, length, ifMatch: etag }));
        if (!range.ok) throw range.error;
        return range.value;
      });
    });
  }

  async readTextLines(path: string, options: { maxLines?: number } | undefined, context: Context): FileOutcome<string[]> {
    const maxLines = options?.maxLines ?? Number.POSITIVE_INFINITY;
    if (maxLines <= 0) return ok([]);
    const opened = await this.openTextLineReader(path, context);
    if (!opened.ok) return opened;
    const lines: string[] = [];
    while (lines.length < maxLines) {
      const line = await opened.value.readLine(context);
      if (!line.ok) return line;
      if (line.value === undefined) break;
      lines.push(line.value.text);
    }
    await opened.value.close();
    return ok(lines);
  }

  writeFile(path: string, content: string | Uint8Array, context: Context): FileOutcome<void> {
    return this.#write(path, content, false, context);
  }

  appendFile(path: string, content: string | Uint8Array, context: Context): FileOutcome<void> {
    return this.#write(path, content, true, context);
  }

  renameFile(sourcePath: string, destinationPath: string, context: Context): FileOutcome<void> {
    return this.call(sourcePath, context, (hands, source) =>
      hands.move(source, resolvePath(this.cwd, destinationPath), { changeId: nextEffectId(context) }),
    );
  }

  fileInfo(path: string, context: Context): FileOutcome<FileInfo> {
    return this.call(path, context, async (hands, absolute) => {
      const info = toFileInfo(await hands.stat(absolute), absolute);
      if (info === undefined) throw new FileError("invalid", "Unsupported file type", absolute);
      return info;
    });
  }

  listDir(path: string, context: Context): FileOutcome<FileInfo[]> {
    return this.call(path, context, async (hands, absolute) => {
      const files = await hands.list(absolute);
      return files.flatMap((file) => toFileInfo(file, join(absolute, file.name)) ?? []);
    });
  }

  canonicalPath(path: string, context: Context): FileOutcome<string> {
    return this.call(path, context, async (hands, absolute) => (await hands.stat(absolute, { follow: true })).path);
  }

  async exists(path: string, context: Context): FileOutcome<boolean> {
    const info = await this.fileInfo(path, context);
    if (info.ok) return ok(true);
    return info.error.code === "not_found" ? ok(false) : err(info.error);
  }

  createDir(path: string, options: { recursive?: boolean } | undefined, context: Context): FileOutcome<void> {
    const recursive = options?.recursive ?? true;
    return this.call(path, context, (hands, absolute) => hands.mkdir(absolute, { changeId: nextEffectId(context), recursive }));
  }

  remove(path: string, options: { recursive?: boolean; force?: boolean } | undefined, context: Context): FileOutcome<void> {
    const recursive = options?.recursive ?? false;
    const missingOk = options?.force ?? false;
    return this.call(path, context, (hands, absolute) => hands.remove(absolute, { changeId: nextEffectId(context), recursive, missingOk }));
  }

  /** In the workspace, since nothing else is in reach; its name follows from the tool call, so a replay finds the same one. */
  createTempDir(prefix: string | undefined, context: Context): FileOutcome<string> {
    const changeId = nextEffectId(context);
    const name = `${prefix ?? "tmp-"}${createHash("sha256").update(changeId).digest("hex").slice(0, 12)}`;
    return this.call(join(".tmp", name), context, async (hands, absolute) => {
      await hands.mkdir(absolute, { changeId, recursive: true });
      return absolute;
    });
  }

  async createTempFile(options: { prefix?: string; suffix?: string } | undefined, context: Context): FileOutcome<string> {
    const directory = await this.createTempDir(undefined, context);
    if (!directory.ok) return directory;
    const path = join(directory.value, `${options?.prefix ?? ""}file${options?.suffix ?? ""}`);
    const written = await this.writeFile(path, "", context);
    return written.ok ? ok(path) : written;
  }

  /** Nothing to release: what runs in the sandbox belongs to the sandbox. */
  async cleanup(): Promise<void> {}

  #write(path: string, content: string | Uint8Array, append: boolean, context: Context): FileOutcome<void> {
    const data = typeof content === "string" ? Buffer.from(content) : content;
    return this.call(path, context, async (hands, absolute) => {
      await hands.write(absolute, data, { changeId: nextEffectId(context), append });
    });
  }

  /** Make one call to the sandbox about a path, for what Pi has no method for. Every failure is a result, as with the methods. */
  async call<T>(path: string, context: Context, call: (hands: WorkspaceClient, absolute: string) => Promise<T>): FileOutcome<T> {
    const resolved = await this.absolutePath(path);
    if (!resolved.ok) return resolved;
    if (context.abortSignal?.aborted) return err(new FileError("aborted", "aborted", resolved.value));
    try {
      return ok(await call(this.#options.workspace, resolved.value));
    } catch (error) {
      if (isFatal(error)) this.#options.onLost(error);
      return err(toFileError(error, resolved.value));
    }
  }
}

async function readWhole(hands: WorkspaceClient, path: string): Promise<Uint8Array> {
  const bytes = await hands.read(path, { length: MAX_READ_BYTES + 1 });
  if (bytes.length <= MAX_READ_BYTES) return bytes;
  throw new FileError("invalid", `${path} is larger than 32 MiB: look at parts of it with bash (head, tail, sed, grep)`, path);
}

function toFileInfo(file: HandsFileInfo, path: string): FileInfo | undefined {
  const kind = KINDS[file.kind];
  return kind === undefined
    ? undefined
    : { name: basename(path), path, kind, size: Number(file.size), mtimeMs: Number(file.mtimeNs) / 1e6 };
}

const KINDS: Readonly<Record<number, FileInfo["kind"] | undefined>> = {
  [FileKind.FILE]: "file",
  [FileKind.DIRECTORY]: "directory",
  [FileKind.SYMLINK]: "symlink",
};
