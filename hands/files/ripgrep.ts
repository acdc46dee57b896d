import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { badPattern, type FileMatches, type LineQuery, type MatchLines } from "./line-query.ts";

/**
 * Its configuration file and all its own ideas of what to search are off: it gets the files by name. Of the lines only the numbers are of
 * interest, the rest is cut at the source; what is shown is read by the daemon itself, through handles.
 */
const OPTIONS = [
  "--no-config",
  "--no-ignore",
  "--hidden",
  "--no-messages",
  "--text",
  "--encoding=none",
  "--crlf",
  "--threads=1",
  "--null",
  "--line-number",
  "--no-heading",
  "--with-filename",
  "--color=never",
  "--max-columns=1",
];

/** Match lines with ripgrep. */
export function matchWithRipgrep(command: string): MatchLines {
  return async function* (directory, files, query, signal) {
    const child = spawn(command, argumentsFor(query, files), {
      cwd: directory.path,
      stdio: ["ignore", "pipe", "pipe"],
      signal,
      killSignal: "SIGKILL",
    });
    const ended = once(child, "close");
    // Whoever awaits it sees its failure; who stops early doesn't care.
    ended.catch(() => undefined);
    const complaint = firstBytes(child.stderr);
    try {
      yield* byFile(child);
      await ended;
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      child.kill("SIGKILL");
    }
    const problem = await complaint;
    if (child.exitCode === 2 && problem !== "") throw badPattern(problem);
  };
}

function argumentsFor(query: LineQuery, files: readonly string[]): string[] {
  return [
    ...OPTIONS,
    `--max-count=${query.maxPerFile}`,
    ...(query.literal ? ["--fixed-strings"] : []),
    ...(query.ignoreCase ? ["--ignore-case"] : []),
    `--regexp=${query.pattern}`,
    "--",
    // Without a file it would search its directory; with this one it only checks the pattern.
    ...(files.length === 0 ? ["/dev/null"] : files.map((file) => `./${file}`)),
  ];
}

async function* byFile(child: ChildProcessByStdio<null, Readable, Readable>): AsyncGenerator<FileMatches> {
  let current: { file: string; lines: number[] } | undefined;
  for await (const { file, line } of records(child.stdout)) {
    if (current !== undefined && current.file !== file) yield current;
    if (current === undefined || current.file !== file) current = { file, lines: [] };
    current.lines.push(line);
  }
  if (current !== undefined) yield current;
}

/** Reads `./<file> NUL <number> : <rest> NEWLINE`. */
async function* records(stdout: Readable): AsyncGenerator<{ file: string; line: number }> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const name = rest.indexOf(0);
      const number = rest.indexOf(":", name);
      const end = rest.indexOf("\n", number);
      if (name === -1 || number === -1 || end === -1) break;
      yield { file: rest.toString("utf8", "./".length, name), line: Number(rest.toString("latin1", name + 1, number)) };
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
