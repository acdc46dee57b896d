import { once } from "node:events";
import { closeSync, constants, openSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { outOfResources } from "@serverless-harness/kit/child";
import type { Handle } from "@serverless-harness/kit/paths/handle";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { badPattern, type FileMatches, type LineQuery, type MatchingLine, type SearchFile } from "./line-query.ts";
import { toRegExp } from "./rust-regex.ts";

/** What the thread is asked: the matching lines of an open file, at most so many. */
export interface MatchRequest {
  readonly fd: number;
  readonly max: number;
}

/** Match lines with JavaScript's regular expressions. In a thread: one that backtracks for ever is stopped, the daemon goes on. */
export async function* matchWithRegExp(files: readonly SearchFile[], query: LineQuery, signal: AbortSignal): AsyncGenerator<FileMatches> {
  const { source, flags } = compile(query);
  const worker = startWorker({ source, flags });
  const stopped = once(worker, "exit").then((): [MatchingLine[]] => [[]]);
  // Whoever waits for an answer sees its failure.
  stopped.catch(() => undefined);
  const stop = () => void worker.terminate();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (const file of files) {
      if (signal.aborted) return;
      const lines = await matchFile({ worker, stopped }, file, query.maxPerFile);
      if (lines.length > 0) yield { file, lines };
    }
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.terminate();
  }
}

function startWorker(workerData: { readonly source: string; readonly flags: string }): Worker {
  try {
    const worker = new Worker(new URL("./regexp-worker.ts", import.meta.url), { workerData });
    // Whoever waits for it sees how it failed; between two waits nobody listens.
    worker.on("error", () => undefined);
    return worker;
  } catch (error) {
    throw outOfResources(error, "the search thread") ?? error;
  }
}

function compile(query: LineQuery): RegExp {
  try {
    return toRegExp(query);
  } catch (error) {
    throw badPattern(error instanceof Error ? error.message : "it can't be read");
  }
}

interface Thread {
  readonly worker: Worker;
  readonly stopped: Promise<[MatchingLine[]]>;
}

async function matchFile({ worker, stopped }: Thread, file: SearchFile, max: number): Promise<MatchingLine[]> {
  const fd = openFile(file.handle);
  if (fd === undefined) return [];
  try {
    const request: MatchRequest = { fd, max };
    const answer = once(worker, "message") as Promise<[MatchingLine[]]>;
    worker.postMessage(request);
    // A thread that was stopped never answers.
    const [lines] = await Promise.race([answer, stopped]);
    return lines;
  } finally {
    closeSync(fd);
  }
}

/** Open a file for reading; `undefined` where that is not permitted. */
function openFile(handle: Handle): number | undefined {
  try {
    return openSync(handle.path, constants.O_RDONLY);
  } catch (error) {
    if (errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
}
