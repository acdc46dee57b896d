import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";
import { LogDestination } from "@serverless-harness/kit/log-destination";

/** Where brains' output goes, line by line. */
export interface BrainLog {
  /** Append whole lines; they are out of this process when it returns. */
  write(lines: string): void;
  close(): void;
}

/** How the brains' log is kept. */
export interface BrainLogOptions {
  /** File to append to; absent: stdout. */
  readonly path: string | undefined;
  /** A file that would grow beyond so many bytes is set aside as `<path>.1`, in place of the one set aside before. */
  readonly maxBytes: number;
}

/** Append to a file (readable by its owner only, as a brain may print anything), or write to stdout if there is none. */
export function openBrainLog({ path, maxBytes }: BrainLogOptions): BrainLog {
  const stdout = new LogDestination(process.stdout.fd);
  if (path === undefined) return { write: (lines) => stdout.write(lines), close: () => undefined };
  const file = new BoundedFile(path, maxBytes);
  return {
    write: (lines) => {
      try {
        file.append(Buffer.from(lines));
      } catch (error) {
        // A full disk must not cost the dispatcher, nor the lines unless stdout lies on it as well.
        stdout.write(`${formatLine("dispatcher", "stderr", `DISPATCHER_BRAIN_LOG can't be written: ${String(error)}`)}\n${lines}`);
      }
    },
    close: () => file.close(),
  };
}

/** A file that only we append to. */
class BoundedFile {
  readonly #path: string;
  readonly #maxBytes: number;
  #fd: number;
  /** What it holds; `undefined`: it is a pipe or a device, which nobody sets aside. */
  #size: number | undefined;

  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#fd = openFile(path);
    this.#size = sizeOf(this.#fd);
  }

  append(bytes: Buffer): void {
    if (this.#size !== undefined && this.#size > 0 && this.#size + bytes.length > this.#maxBytes) this.#begin();
    for (let done = 0; done < bytes.length; ) {
      const written = writeSync(this.#fd, bytes, done);
      done += written;
      if (this.#size !== undefined) this.#size += written;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Set the file aside and begin another. Until there is a new one, lines go to the old one. */
  #begin(): void {
    try {
      renameSync(this.#path, `${this.#path}.1`);
    } catch (error) {
      // Somebody moved it away, or it was us, with no descriptor left for the new one.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    const fd = openFile(this.#path);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#size = sizeOf(fd);
  }
}

function sizeOf(fd: number): number | undefined {
  const stat = fstatSync(fd);
  return stat.isFile() ? stat.size : undefined;
}

/**
 * One line of a brain's output as a JSON line that names the brain. What is a JSON object already keeps its fields; anything else,
 * as the stack of a crash, becomes the message.
 */
export function formatLine(brain: string, stream: "stdout" | "stderr", line: string): string {
  const fields = { brain, stream };
  if (isJsonObject(line)) return `{"brain":${JSON.stringify(brain)},"stream":"${stream}",${line.slice(1)}`;
  return JSON.stringify({ level: stream === "stderr" ? 40 : 30, time: Date.now(), name: "brain", ...fields, msg: line });
}

function isJsonObject(line: string): boolean {
  if (!line.startsWith('{"')) return false;
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (error) {
    throw new ConfigError(`DISPATCHER_BRAIN_LOG: ${path} can't be opened for appending (${(error as NodeJS.ErrnoException).code})`);
  }
}
