import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { verifyLog } from "../../chained-log/verify.ts";
import { ChainedLog } from "../../chained-log/writer.ts";

const WRITER = fileURLToPath(new URL("../fixtures/chained-writer.ts", import.meta.url));

async function newPath(): Promise<string> {
  return join(await temporaryDirectory(), "audit.jsonl");
}

function open(path: string, maxBytes = 1_000_000, keepFiles = 0): ChainedLog {
  return ChainedLog.open({ path, maxBytes, keepFiles });
}

/** Write lines of these actions, and let go of the log. */
function write(path: string, ...actions: string[]): void {
  const log = open(path);
  for (const action of actions) log.append({ action });
  log.close();
}

function linesOf(path: string): Record<string, unknown>[] {
  return readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("lines are numbered and chained over the ends of their writers, in files for their owner alone", async () => {
  const path = await newPath();
  write(path, "a", "b");
  write(path, "c");
  expect(linesOf(path).map(({ seq, action }) => [seq, action])).toEqual([
    [1, "a"],
    [2, "b"],
    [3, "c"],
  ]);
  expect(await verifyLog([path])).toMatchObject({ lines: 3, firstSeq: 1, end: { seq: 3 } });
  for (const file of readdirSync(dirname(path))) expect([file, statSync(join(dirname(path), file)).mode & 0o777]).toEqual([file, 0o600]);
});

test.each(["seq", "at", "prev"])(
  "a line with a %s of its own, which would break the chain, is refused before it is written",
  async (name) => {
    const path = await newPath();
    const log = open(path);
    expect(() => log.append({ action: "a", [name]: 7 })).toThrow(`a line of a chained log can't have a ${name} of its own`);
    log.append({ action: "b" });
    log.close();
    expect(linesOf(path).map(({ seq, action }) => [seq, action])).toEqual([[1, "b"]]);
  },
);

test("a log has one writer at a time", async () => {
  const path = await newPath();
  const log = open(path);
  expect(() => open(path)).toThrow("is written by another process");
  log.close();
  write(path, "after");
});

test("a line that was not written to its end is set aside, whole, and the log says so", async () => {
  const path = await newPath();
  write(path, "a", "b");
  appendFileSync(path, '{"seq":3,"at":"20');
  expect((await verifyLog([path])).broken).toMatchObject({ line: 3, problem: expect.stringContaining("not whole") });
  write(path, "c");
  const torn = linesOf(path)[2];
  expect(torn).toMatchObject({ seq: 3, action: "log.torn", file: "audit.jsonl.torn-000000000003", bytes: 17 });
  expect(readFileSync(join(dirname(path), String(torn?.["file"])), "utf8")).toBe('{"seq":3,"at":"20');
  expect(await verifyLog([path])).toMatchObject({ lines: 4, end: { seq: 4 } });
  expect(await verifyLog([path])).not.toHaveProperty("broken");
});

test("a torn line that was set aside by a writer which was killed before it said so is told of by the next", async () => {
  const path = await newPath();
  write(path, "a");
  writeFileSync(`${path}.torn-000000000002`, "half a li");
  write(path, "b");
  expect(linesOf(path)[1]).toMatchObject({ action: "log.torn", bytes: 9 });
});

test("lines that are gone from the end are told of at the next start, and by every verification after it", async () => {
  const path = await newPath();
  write(path, "a", "b", "c");
  const text = readFileSync(path, "utf8").split("\n");
  truncateSync(path, Buffer.byteLength(`${text[0]}\n`));
  write(path, "d");
  expect(linesOf(path)[1]).toMatchObject({ seq: 4, action: "log.broken", problem: "lines_missing", from: 2, through: 3 });
  expect((await verifyLog([path])).broken).toMatchObject({ line: 2 });
});

test("a file that is full is set aside, and the chain goes on in the next one", async () => {
  const path = await newPath();
  const log = open(path, 600);
  for (let count = 0; count < 12; count++) log.append({ action: "fill", text: "y".repeat(50) });
  log.close();
  const verdict = await verifyLog([path]);
  expect(verdict).toMatchObject({ lines: 12, end: { seq: 12 } });
  expect(verdict).not.toHaveProperty("broken");
  expect(verdict.files.length).toBeGreaterThan(3);
  for (const file of verdict.files) expect(statSync(file).size).toBeLessThanOrEqual(600);
  // Some of them alone prove what they hold.
  expect(await verifyLog(verdict.files.slice(1, 3).reverse())).toMatchObject({ files: verdict.files.slice(1, 3) });
});

test("the oldest full files are removed, which the log says before", async () => {
  const path = await newPath();
  const log = open(path, 700, 2);
  for (let count = 0; count < 20; count++) log.append({ action: "fill", text: "y".repeat(50) });
  log.close();
  const verdict = await verifyLog([path]);
  expect(verdict.files.length).toBeLessThanOrEqual(4);
  expect(verdict).toMatchObject({ removed: true });
  expect(verdict).not.toHaveProperty("broken");
});

test("a writer that is killed at any moment leaves a log that goes on: every line that it told of is there", async () => {
  const path = await newPath();
  let told = 0;
  for (let round = 0; round < 12; round++) {
    const child = spawn(process.execPath, [WRITER, path, "20000"], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    told = Math.max(told, await lastTold(child, 5 + round * 17));
  }
  write(path, "end");
  const verdict = await verifyLog([path]);
  expect(verdict).not.toHaveProperty("broken");
  expect(verdict.end.seq).toBeGreaterThan(told);
  expect(told).toBeGreaterThan(100);
});

/** Kill a writer once it has told of so many lines. Returns the last number that it told. */
async function lastTold(child: ChildProcess, lines: number): Promise<number> {
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk;
    if (text.split("\n").length > lines) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.once("close", resolve));
  return Number(text.slice(0, text.lastIndexOf("\n")).split("\n").at(-1));
}

test("a disk that is full refuses the line, and once there is room the log says how many were lost", async () => {
  const directory = await temporaryDirectory();
  const program = fileURLToPath(new URL("../fixtures/chained-full-disk.ts", import.meta.url));
  const own = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const script = 'mount -t tmpfs -o size=256k,mode=700 disk "$1" && exec "$2" "$3" "$1"';
  const args = [...own, "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", directory, process.execPath, program];
  const child = spawn("unshare", args, { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  child.stdout.on("data", (chunk: Buffer) => {
    told += chunk;
  });
  await new Promise((resolve) => child.once("close", resolve));
  expect(JSON.parse(told)).toMatchObject({
    refused: "LogUnwritable",
    problem: expect.stringContaining("ENOSPC"),
    problemAfter: null,
    after: ["log.lost", "after"],
    lost: 3,
    broken: null,
  });
});
