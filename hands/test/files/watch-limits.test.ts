import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { WatchResponse } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { startFileService, WORKSPACE } from "./service.ts";
import { isInStep, startWatching, treeOf, Watching } from "./watching.ts";

/** Make, or remove, that many files by a process of its own. This process does nothing meanwhile, so what the kernel tells piles up. */
function flood(path: string, script: string): void {
  execFileSync(process.execPath, ["-e", `const fs = require("node:fs");\n${script}`], { cwd: path });
}

test("a reader that does not read is told that it missed something, and others miss nothing", async () => {
  const { files, path } = await startFileService({ limits: { watchQueue: 3000 } });
  const deep = join(path, ...["a", "b", "c", "d"].map((letter) => letter.repeat(250)));
  mkdirSync(deep, { recursive: true });
  const there = treeOf(path);
  const cut = new AbortController();
  onTestFinished(() => cut.abort());
  const slow = files.watch({ workspace: WORKSPACE, recursive: true }, { signal: cut.signal })[Symbol.asyncIterator]();
  expect((await slow.next()).value.event.case).toBe("started");
  const fast = await startWatching(files, {}, there);
  for (let wave = 1; wave <= 3; wave++) {
    flood(deep, "for (let i = 0; i < 2000; i++) fs.writeFileSync('file' + i, '')");
    await fast.until(() => fast.paths.size === there.length + 2000);
    flood(deep, "for (const name of fs.readdirSync('.')) fs.unlinkSync(name)");
    await fast.until(() => fast.paths.size === there.length);
  }
  expect(fast.told).not.toContain("overflow");
  writeFileSync(join(path, "last"), "");
  const rest = { [Symbol.asyncIterator]: () => slow } as AsyncIterable<WatchResponse>;
  const late = new Watching(
    () => rest,
    () => treeOf(path),
  );
  await late.until(() => late.told.includes("overflow") && isInStep(late, path));
  writeFileSync(join(path, "later"), "");
  await late.until(() => isInStep(late, path));
  expect(late.paths.has("later")).toBe(true);
});

test("what the kernel's queue could not hold is found all the same", async () => {
  const { files, path } = await startFileService({ limits: { watchQueue: 100_000 } });
  mkdirSync(join(path, "dir"));
  const watching = await startWatching(files, {}, ["dir"]);
  // Two events each: more than the kernel keeps, while nobody takes them.
  flood(
    path,
    "for (let i = 0; i < 9000; i++) fs.writeFileSync('dir/file' + i, 'x'); fs.mkdirSync('dir/last'); fs.writeFileSync('top', '')",
  );
  await watching.until(() => watching.paths.size === 9003 && isInStep(watching, path));
  flood(path, "fs.rmSync('dir', { recursive: true })");
  await watching.until(() => watching.paths.size === 1 && isInStep(watching, path));
  expect([...watching.paths]).toEqual(["top"]);
});

test("too many directories, or too many entries, are refused by the name of the limit, at the start and later", async () => {
  const limits = { watchDirectories: 4, watchEntries: 20, workspaceWatchDirectories: 6, workspaceWatchEntries: 30 };
  const { files, path } = await startFileService({ limits });
  const limitOf = (call: Promise<unknown>) =>
    call.then(
      () => "none",
      (error: unknown) => limitNamed(error),
    );
  mkdirSync(join(path, "a/b"), { recursive: true });
  const first = await startWatching(files, {}, ["a", "a/b"]);
  const second = await startWatching(files, {}, ["a", "a/b"]);
  expect(await limitOf(startWatching(files))).toBe("workspace_watch_directories");
  // What ended gives back what it held.
  await second.leave();
  mkdirSync(join(path, "c"));
  await first.until(() => first.paths.has("c"));
  mkdirSync(join(path, "d"));
  expect(await limitOf(first.end())).toBe("watch_directories");
  rmSync(join(path, "d"), { recursive: true });
  const flat = await startWatching(files, { path: "c" });
  for (let i = 0; i < 21; i++) writeFileSync(join(path, `c/file${i}`), "");
  expect(await limitOf(flat.end())).toBe("watch_entries");
  expect(await limitOf(startWatching(files, { path: "c", pollIntervalMs: 50 }))).toBe("watch_entries");
  for (let i = 10; i < 21; i++) rmSync(join(path, `c/file${i}`));
  await Promise.all([1, 2].map(() => startWatching(files, { path: "c" })));
  await startWatching(files, { path: "a/b" });
  expect(await limitOf(startWatching(files, { path: "c", exclude: ["file9"] }))).toBe("none");
  expect(await limitOf(startWatching(files, { path: "c" }))).toBe("workspace_watch_entries");
});

function limitNamed(error: unknown): string | undefined {
  const { code, reason, metadata } = fromConnectError(error);
  expect([code, reason]).toEqual([Code.ResourceExhausted, "limit_reached"]);
  return metadata["limit"];
}
