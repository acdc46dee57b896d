import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { startFileService } from "./service.ts";
import { startWatching } from "./watching.ts";

const WRITER = fileURLToPath(new URL("../fixtures/mapped-writer.py", import.meta.url));

/** The file system that is never written out, by its magic number. */
const TMPFS = 0x01021994;

/** A process that has a file mapped. The function returned has it do something, and resolves once that is done. */
async function startWriter(path: string): Promise<(order: string) => Promise<void>> {
  const child = spawn("python3", [WRITER, path], { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  onTestFinished(async () => {
    child.stdin.end();
    await closed;
  });
  await once(child, "spawn");
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async (order) => {
    child.stdin.write(`${order}\n`);
    expect((await answers.next()).value, order).toBe("done");
  };
}

/** A workspace with a file in it, in a directory of this file system. */
async function startWith(directory: string) {
  const base = mkdtempSync(join(directory, "harness-test-"));
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  const service = await startFileService({ base });
  const mapped = join(service.path, "mapped");
  writeFileSync(mapped, "first\n");
  return { ...service, mapped };
}

describe.each([tmpdir(), "/dev/shm"])("in %s", (directory) => {
  test("what is written by way of memory the kernel tells nobody, and NOTIFY tells the next write that it does tell", async () => {
    const { files, path, mapped } = await startWith(directory);
    const order = await startWriter(mapped);
    const watching = await startWatching(files, {}, ["mapped"]);
    for (const each of ["other", "msync", "again", "munmap"]) await order(each);
    expect(readFileSync(mapped, "utf8")).toBe("again\n");
    writeFileSync(join(path, "marker"), "");
    await watching.until(() => watching.paths.has("marker"));
    expect(watching.told).toEqual(["notify", "+marker"]);
    appendFileSync(mapped, "more\n");
    await watching.until(() => watching.told.includes("~mapped"));
  });

  test("POLL tells the first write to a page, and one after the page was written out, which on tmpfs it never is", async () => {
    const { files, path, mapped } = await startWith(directory);
    const order = await startWriter(mapped);
    const watching = await startWatching(files, { pollIntervalMs: 50 }, ["mapped"]);
    const told = () => watching.told.filter((each) => each === "~mapped").length;
    await order("other");
    await watching.until(() => told() === 1);
    await order("while");
    writeFileSync(join(path, "marker"), "");
    await watching.until(() => watching.paths.has("marker"));
    expect(told()).toBe(1);
    await order("msync");
    await order("again");
    writeFileSync(join(path, "second marker"), "");
    await watching.until(() => watching.paths.has("second marker"));
    expect(told()).toBe(statfsSync(path).type === TMPFS ? 1 : 2);
    expect(readFileSync(mapped, "utf8")).toBe("again\n");
  });
});
