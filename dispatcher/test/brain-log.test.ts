import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readSync } from "node:fs";
import { chmod, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { openBrainLog } from "../waker/brain-log.ts";
import { relayLines } from "../waker/line-relay.ts";

const WRITER = fileURLToPath(new URL("fixtures/brain-log-writer.ts", import.meta.url));

/** What a log holds after a brain wrote these chunks. */
async function relayed(chunks: ReadonlyArray<string | Buffer>): Promise<Array<Record<string, unknown>>> {
  let text = "";
  const source = new PassThrough();
  const done = relayLines(source, "brain_1", "stderr", { write: (lines) => (text += lines), close: () => undefined });
  for (const chunk of chunks) source.write(chunk);
  source.end();
  await done;
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

describe("a brain's output", () => {
  test("keeps the fields of JSON lines and gains the brain's name", async () => {
    expect(await relayed(['{"level":30,"name":"brain","msg":"hi"}\n'])).toEqual([
      { brain: "brain_1", stream: "stderr", level: 30, name: "brain", msg: "hi" },
    ]);
  });

  test.each(["plain text", "{", '{"cut', "{}", "[1]", '{"a":1} trailing', '"text"', "\u0000\u001b[31m"])(
    "keeps %j as a message",
    async (line) => {
      expect(await relayed([`${line}\n`])).toMatchObject([{ brain: "brain_1", stream: "stderr", level: 40, msg: line }]);
    },
  );

  test("is put together from pieces, characters cut in two included, and its last line needs no end", async () => {
    const bytes = Buffer.from("a é line\nthe 𝄞 last");
    const pieces = Array.from(bytes, (byte) => Buffer.from([byte]));
    expect((await relayed(pieces)).map((line) => line["msg"])).toEqual(["a é line", "the 𝄞 last"]);
  });

  test("without an end of line is cut, not kept in memory", async () => {
    const lines = await relayed(Array<string>(50).fill("x".repeat(65_536)));
    expect(lines.map((line) => String(line["msg"]).length)).toEqual([1_048_576, 1_048_576, 1_048_576, 131_072]);
  });
});

describe("the brains' log file", () => {
  test("is appended to, and is its owner's only", async () => {
    const path = join(await temporaryDirectory(), "brain.log");
    for (const line of ["one\n", "two\n"]) {
      const log = openBrainLog({ path, maxBytes: 1000 });
      log.write(line);
      log.close();
    }
    expect(await readFile(path, "utf8")).toBe("one\ntwo\n");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("that would grow beyond its bound is set aside whole, and the next is begun: no line is lost between them", async () => {
    const path = join(await temporaryDirectory(), "brain.log");
    await writeFile(path, "an earlier dispatcher's\n");
    const log = openBrainLog({ path, maxBytes: 100 });
    const lines = Array.from({ length: 6 }, (_, index) => `line ${index} ${"x".repeat(30)}\n`);
    const aside = [];
    for (const line of lines) {
      log.write(line);
      expect((await stat(path)).size).toBeLessThanOrEqual(100);
      aside.push(await readFile(`${path}.1`, "utf8").catch(() => ""));
    }
    expect([...new Set(aside), await readFile(path, "utf8")].join("")).toBe(`an earlier dispatcher's\n${lines.join("")}`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    log.write(`longer ${"y".repeat(100)}\n`);
    expect(await readFile(path, "utf8")).toMatch(/^longer y+\n$/);
    log.close();
  });

  test("that was moved away by another is begun again", async () => {
    const path = join(await temporaryDirectory(), "brain.log");
    const log = openBrainLog({ path, maxBytes: 10 });
    log.write("moved\n");
    await rename(path, `${path}.mine`);
    log.write("and the next\n");
    log.close();
    expect(await Promise.all([`${path}.mine`, path].map((file) => readFile(file, "utf8")))).toEqual(["moved\n", "and the next\n"]);
  });

  test("that is a pipe is never set aside", async () => {
    const path = join(await temporaryDirectory(), "brain.pipe");
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, "r+");
    const log = openBrainLog({ path, maxBytes: 10 });
    for (const line of ["longer than that\n", "and once more\n"]) log.write(line);
    log.close();
    const read = Buffer.alloc(100);
    expect(read.toString("utf8", 0, readSync(reader, read))).toBe("longer than that\nand once more\n");
    closeSync(reader);
    expect((await stat(path)).isFIFO()).toBe(true);
  });

  test("that can't be opened is named with its variable", async () => {
    const directory = await temporaryDirectory();
    expect(() => openBrainLog({ path: directory, maxBytes: 1000 })).toThrow(/DISPATCHER_BRAIN_LOG: .* \(EISDIR\)/);
    expect(() => openBrainLog({ path: join(directory, "none", "brain.log"), maxBytes: 1000 })).toThrow(/ENOENT/);
    await writeFile(join(directory, "f"), "");
    await chmod(join(directory, "f"), 0o400);
  });

  test.each([
    ["that is stdout", () => undefined],
    ["that can't be written any more", fullFile],
  ])("%s, which nobody reads either, costs the dispatcher nothing", async (_what, path) => {
    const place = await path();
    const limited = ["/bin/sh", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "sh"];
    const [program = "", ...args] = [...limited, process.execPath, WRITER, ...(place === undefined ? [] : [place])];
    const writer = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(writer, "close");
    if (place === undefined) await once(writer.stdout, "data");
    writer.stdout.destroy();
    await once(writer.stdout, "close");
    for (let line = 0; line < 20; line++) writer.stdin.write(`${"x".repeat(200)}\n`);
    writer.stdin.end();
    expect(await ended).toEqual([0, null]);
  });
});

/** A file that can't grow: it is as large as a process of the limit above may make one. */
async function fullFile(): Promise<string> {
  const path = join(await temporaryDirectory(), "brain.log");
  await writeFile(path, "x".repeat(4096));
  return path;
}
