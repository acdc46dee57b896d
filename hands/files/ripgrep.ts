import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { Code } from "@connectrpc/connect";
import { outOfResources, startChild } from "@serverless-harness/kit/child";
import { HarnessError } from "@serverless-harness/kit/errors";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { badPattern, type LineQuery, type MatchingLine, type MatchLines } from "./line-query.ts";

/**
 * Its configuration file and all its own ideas of what to search are off: it gets open files. Of the lines only the numbers are of
 * interest, and where they match; the rest is cut at the source. A byte order mark is no part of a line, and tells the encoding.
 */
const OPTIONS = [
  "--no-config",
  "--no-ignore",
  "--hidden",
  "--no-messages",
  "--text",
  "--crlf",
  "--null",
  "--line-number",
  "--column",
  "--no-heading",
  "--with-filename",
  "--color=never",
  "--max-columns=1",
];

/** Descriptors that every process has; the files come after them. */
const FIRST_FD = 3;
const PREFIX = "/proc/self/fd/";

/** Matches lines with ripgrep. It inherits the files' handles, so no path is resolved that a command could have turned elsewhere. */
export const matchWithRipgrep: MatchLines = async function* (files, query, signal) {
  const child = startChild("rg", argumentsFor(query, files.length), {
    stdio: ["ignore", "pipe", "pipe", ...files.map(({ handle }) => handle.fd)],
    signal,
    killSignal: "SIGKILL",
  }) as ChildProcessByStdio<null, Readable, Readable>;
  const ended = once(child, "close");
  // Whoever awaits it sees its failure; nobody does after an early stop.
  ended.catch(() => undefined);
  const complaint = firstBytes(child.stderr);
  const found = new Map<number, MatchingLine[]>();
  try {
    await gather(child.stdout, found, query.maxPerFile);
    await ended;
  } catch (error) {
    if (!signal.aborted) throw (isMissing(error) ? notInstalled(error) : outOfResources(error, "the search program")) ?? error;
  } finally {
    child.kill("SIGKILL");
  }
  const problem = await complaint;
  if (child.exitCode === 2 && problem !== "") throw badPattern(problem);
  for (const index of ascending(found)) {
    const [file, lines] = [files[index], found.get(index)];
    if (file !== undefined && lines !== undefined) yield { file, lines };
  }
};

function isMissing(error: unknown): boolean {
  return errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES";
}

function notInstalled(cause: unknown): HarnessError {
  const message = "ripgrep (rg) is not installed in the sandbox: install it (Debian: apt-get install ripgrep)";
  return new HarnessError(Code.FailedPrecondition, "search_unavailable", message, { cause });
}

function argumentsFor(query: LineQuery, files: number): string[] {
  return [
    ...OPTIONS,
    `--max-count=${query.maxPerFile}`,
    ...(query.literal ? ["--fixed-strings"] : []),
    ...(query.ignoreCase ? ["--ignore-case"] : []),
    `--regexp=${query.pattern}`,
    "--",
    // Without a file it would search its directory; with this one it only checks the pattern.
    ...(files === 0 ? ["/dev/null"] : Array.from({ length: files }, (_, index) => `${PREFIX}${FIRST_FD + index}`)),
  ];
}

/**
 * Collect the matching lines by the index of their file: ripgrep works on many files at once, and tells each in one piece but in no order.
 * More than `enough` lines are kept of no prefix of the files, so that matches without end take no memory without end.
 */
async function gather(stdout: Readable, found: Map<number, MatchingLine[]>, enough: number): Promise<void> {
  let kept = 0;
  let bound = 4 * enough;
  for await (const { fd, line } of records(stdout)) {
    const lines = found.get(fd - FIRST_FD) ?? [];
    found.set(fd - FIRST_FD, lines);
    lines.push(line);
    kept += 1;
    if (kept < bound) continue;
    kept = dropBehind(found, enough);
    bound = Math.max(bound, 2 * kept);
  }
}

/** Drop the files after those that hold `enough` lines, and return how many lines are left. */
function dropBehind(found: Map<number, MatchingLine[]>, enough: number): number {
  let kept = 0;
  for (const index of ascending(found)) {
    if (kept >= enough) found.delete(index);
    else kept += found.get(index)?.length ?? 0;
  }
  return kept;
}

function ascending(found: ReadonlyMap<number, unknown>): number[] {
  return [...found.keys()].sort((a, b) => a - b);
}

/** Reads `/proc/self/fd/<descriptor> NUL <number> : <column> : <rest> NEWLINE`. */
async function* records(stdout: Readable): AsyncGenerator<{ fd: number; line: MatchingLine }> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const name = rest.indexOf(0);
      const number = rest.indexOf(":", name);
      const column = rest.indexOf(":", number + 1);
      const end = rest.indexOf("\n", number);
      if (name === -1 || number === -1 || column === -1 || end === -1) break;
      const line = {
        number: Number(rest.toString("latin1", name + 1, number)),
        offset: Number(rest.toString("latin1", number + 1, column)) - 1,
      };
      yield { fd: Number(rest.toString("latin1", PREFIX.length, name)), line };
      rest = rest.subarray(end + 1);
    }
  }
}

/** The start of a stream; the rest is read and dropped. */
async function firstBytes(stream: Readable): Promise<string> {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    if (text.length < 1000) text += chunk;
  });
  await once(stream, "close");
  return text.trim().slice(0, 1000);
}
