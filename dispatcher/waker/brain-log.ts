import { closeSync, openSync, writeSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";

/** Where brains' output goes, line by line. */
export interface BrainLog {
  /** Append whole lines; they are out of this process when it returns. */
  write(lines: string): void;
  close(): void;
}

/** Append to a file (readable by its owner only, as a brain may print anything), or write to stdout where there is none. */
export function openBrainLog(path: string | undefined): BrainLog {
  if (path === undefined) return { write: writeStdout, close: () => undefined };
  const file = openFile(path);
  return {
    write: (lines) => {
      try {
        writeAll(file, Buffer.from(lines));
      } catch (error) {
        // A full disk must cost neither the dispatcher nor the lines.
        writeStdout(`${formatLine("dispatcher", "stderr", `DISPATCHER_BRAIN_LOG can't be written: ${String(error)}`)}\n${lines}`);
      }
    },
    close: () => closeSync(file),
  };
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

function writeAll(file: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
}

function writeStdout(text: string): void {
  process.stdout.write(text);
}
