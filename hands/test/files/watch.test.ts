import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { WatchEndReason } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { startFileService, WORKSPACE } from "./service.ts";
import { isInStep, startWatching, treeOf } from "./watching.ts";

const MODES = [
  { mode: "notify", pollIntervalMs: 0 },
  { mode: "poll", pollIntervalMs: 50 },
];

type Change = (at: (name: string) => string) => void;

/** Changes of the workspace, and what is told of each. */
const SCRIPT: ReadonlyArray<readonly [told: string, change: Change]> = [
  ["+file", (at) => writeFileSync(at("file"), "one")],
  ["~file", (at) => appendFileSync(at("file"), "two")],
  ["~file", (at) => chmodSync(at("file"), 0o600)],
  ["+link", (at) => linkSync(at("file"), at("link"))],
  ["-link", (at) => unlinkSync(at("link"))],
  ["-file +renamed", (at) => renameSync(at("file"), at("renamed"))],
  ["~renamed", (at) => writeFileSync(at("renamed"), "ONETWO")],
  ["+other", (at) => writeFileSync(at("other"), "x")],
  ["-other ~renamed", (at) => renameSync(at("other"), at("renamed"))],
  ["+a +a/b +a/b/c", (at) => mkdirSync(at("a/b/c"), { recursive: true })],
  ["+a/b/c/file", (at) => writeFileSync(at("a/b/c/file"), "x")],
  ["-a/b/c/file -a/b/c -a/b -a +z +z/b +z/b/c +z/b/c/file", (at) => renameSync(at("a"), at("z"))],
  ["~z/b/c/file", (at) => writeFileSync(at("z/b/c/file"), "longer")],
  ["-z/b/c/file +z/file", (at) => renameSync(at("z/b/c/file"), at("z/file"))],
  ["-z/b/c -z/b", (at) => rmSync(at("z/b"), { recursive: true })],
  ["~z", (at) => chmodSync(at("z"), 0o700)],
  ["+symlink", (at) => symlinkSync("z", at("symlink"))],
  ["-z/file -z", (at) => rmSync(at("z"), { recursive: true })],
];

describe.each(MODES)("a watch by $mode", ({ mode, pollIntervalMs }) => {
  test("tells each change once, whatever kind it is of", async () => {
    const { files, path } = await startFileService();
    const watching = await startWatching(files, { pollIntervalMs });
    expect(watching.told).toEqual([mode]);
    for (const [told, change] of SCRIPT) {
      const before = watching.told.length;
      change((name) => join(path, name));
      const expected = told.split(" ");
      await watching.until(() => watching.told.length >= before + expected.length);
      expect(watching.told.slice(before).sort()).toEqual(expected.sort());
      expect(isInStep(watching, path)).toBe(true);
    }
  });

  test("misses no file that is made in a directory as soon as that is there", async () => {
    const { files, path } = await startFileService();
    const watching = await startWatching(files, { pollIntervalMs });
    const script = "for i in $(seq 100); do mkdir -p d$i/a/b/c && echo $i > d$i/a/b/c/file; done";
    const child = spawn("bash", ["-c", script], { cwd: path, stdio: "ignore" });
    await once(child, "close");
    await watching.until(() => isInStep(watching, path));
    expect(watching.paths.size).toBe(500);
    execFileSync("bash", ["-c", "for i in $(seq 100); do mv d$i/a e$i; rm -r d$i; done"], { cwd: path });
    await watching.until(() => isInStep(watching, path));
    expect(watching.paths.size).toBe(400);
  });

  test("shows names as List does, and finds what is below those that are not UTF-8", async () => {
    const { files, path } = await startFileService();
    const watching = await startWatching(files, { pollIntervalMs });
    writeFileSync(join(path, "new\nline"), "");
    const odd = Buffer.concat([Buffer.from(`${path}/odd`), Buffer.from([0xff])]);
    mkdirSync(odd);
    writeFileSync(Buffer.concat([odd, Buffer.from("/file")]), "");
    await watching.until(() => watching.paths.size === 3);
    const listed = (await files.list({ workspace: WORKSPACE })).files.map(({ name }) => name);
    expect([...watching.paths].sort()).toEqual([...listed, "odd\\xff/file"].sort());
  });

  test("follows no symlink out of the directory, nor within", async () => {
    const { files, path } = await startFileService();
    const outside = join(path, "../../outside");
    mkdirSync(outside);
    mkdirSync(join(path, "real"));
    const watching = await startWatching(files, { pollIntervalMs }, ["real"]);
    symlinkSync(outside, join(path, "out"));
    symlinkSync("real", join(path, "in"));
    writeFileSync(join(outside, "secret"), "");
    writeFileSync(join(path, "real/file"), "");
    await watching.until(() => watching.paths.has("real/file") && watching.paths.has("out") && watching.paths.has("in"));
    // A directory that is watched gives way to a symlink of its name.
    rmSync(join(path, "real"), { recursive: true });
    symlinkSync(outside, join(path, "real"));
    writeFileSync(join(outside, "later"), "");
    await watching.until(() => watching.told.filter((told) => told === "+real").length === 1);
    writeFileSync(join(path, "last"), "");
    await watching.until(() => watching.paths.has("last"));
    expect([...watching.paths].sort()).toEqual(["in", "last", "out", "real"]);
    expect(watching.told.join()).not.toMatch(/secret|later/);
  });

  test("honours .gitignore files and excludes, also those that change", async () => {
    const { files, path } = await startFileService();
    mkdirSync(join(path, ".git"));
    mkdirSync(join(path, "node_modules/x"), { recursive: true });
    writeFileSync(join(path, ".gitignore"), "node_modules/\n*.log\n");
    const watching = await startWatching(files, { pollIntervalMs, exclude: ["tmp/", "*.swp"] }, [".gitignore"]);
    for (const name of [".git/index", "node_modules/x/y", "a.log", "b.swp"]) writeFileSync(join(path, name), "");
    mkdirSync(join(path, "tmp/below"), { recursive: true });
    writeFileSync(join(path, "seen"), "");
    await watching.until(() => watching.paths.has("seen"));
    expect([...watching.paths]).toEqual([".gitignore", "seen"]);
    writeFileSync(join(path, ".gitignore"), "seen\n");
    await watching.until(() => watching.paths.has("node_modules/x/y") && watching.told.includes("~.gitignore"));
    expect([...watching.paths].sort()).toEqual([".gitignore", "a.log", "node_modules", "node_modules/x", "node_modules/x/y"]);
    unlinkSync(join(path, ".gitignore"));
    await watching.until(() => watching.paths.has("seen") && !watching.paths.has(".gitignore"));
    const all = await startWatching(files, { pollIntervalMs, includeIgnored: true }, treeOf(path));
    writeFileSync(join(path, "c.log"), "");
    await all.until(() => all.paths.has("c.log"));
  });

  test("ends with all told as removed once its directory is gone, moved or replaced", async () => {
    const { files, path } = await startFileService();
    const removals: ReadonlyArray<() => void> = [
      () => rmSync(join(path, "up/dir"), { recursive: true }),
      () => renameSync(join(path, "up/dir"), join(path, "up/elsewhere")),
      () => renameSync(join(path, "up"), join(path, "elsewhere")),
    ];
    for (const remove of removals) {
      for (const name of ["up", "elsewhere"]) rmSync(join(path, name), { recursive: true, force: true });
      mkdirSync(join(path, "up/dir/below"), { recursive: true });
      const watching = await startWatching(files, { path: "up/dir", pollIntervalMs }, ["up/dir/below"]);
      remove();
      expect(await watching.end()).toBe(WatchEndReason.DIRECTORY_GONE);
      expect(watching.told).toEqual([mode, "-up/dir/below"]);
    }
  });

  test("without recursion tells of the direct children alone", async () => {
    const { files, path } = await startFileService();
    mkdirSync(join(path, "dir"));
    const watching = await startWatching(files, { pollIntervalMs, recursive: false }, ["dir"]);
    writeFileSync(join(path, "dir/file"), "");
    writeFileSync(join(path, "file"), "");
    await watching.until(() => watching.told.length === 2);
    expect(watching.told).toEqual([mode, "+file"]);
  });
});

test("a watch holds no descriptor while it goes on, and leaves none", async () => {
  const { files, path } = await startFileService();
  for (let i = 0; i < 50; i++) mkdirSync(join(path, `dir${i}/a/b`), { recursive: true });
  const there = treeOf(path);
  const warmUp = await startWatching(files, {}, there);
  await warmUp.leave();
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  const before = descriptors();
  const watches = await Promise.all([1, 2, 3].map(() => startWatching(files, {}, there)));
  expect(descriptors()).toBe(before);
  writeFileSync(join(path, "dir7/a/b/file"), "");
  for (const watching of watches) await watching.until(() => watching.paths.has("dir7/a/b/file"));
  expect(descriptors()).toBe(before);
  for (const watching of watches) await watching.leave();
  rmSync(path, { recursive: true });
  expect(descriptors()).toBe(before);
});

test("watches end when their workspace is deleted, and none is left", async () => {
  const { files, workspaces, path } = await startFileService();
  const watches = await Promise.all(MODES.map(({ pollIntervalMs }) => startWatching(files, { pollIntervalMs })));
  writeFileSync(join(path, "file"), "");
  for (const watching of watches) await watching.until(() => watching.paths.has("file"));
  await workspaces.delete(WORKSPACE, 1n);
  for (const watching of watches) expect(await watching.end()).toBe(WatchEndReason.WORKSPACE_DELETED);
  await expect(startWatching(files)).rejects.toMatchObject({ code: Code.NotFound });
});

test("watches end when hands stops, and no other begins", async () => {
  const { files, watches } = await startFileService();
  const watching = await startWatching(files);
  await watches.drain();
  expect(await watching.end()).toBe(WatchEndReason.DRAINING);
  await expect(startWatching(files)).rejects.toMatchObject({ code: Code.Unavailable });
});

test("a path that is no directory of the workspace is refused as elsewhere", async () => {
  const { files, path } = await startFileService();
  writeFileSync(join(path, "file"), "");
  symlinkSync("/", join(path, "out"));
  await expect(startWatching(files, { path: "none" })).rejects.toMatchObject({ code: Code.NotFound });
  await expect(startWatching(files, { path: "file" })).rejects.toMatchObject({ code: Code.FailedPrecondition });
  await expect(startWatching(files, { path: "out" })).rejects.toMatchObject({ code: Code.PermissionDenied });
  const wrong = { path: "a\0", exclude: ["", "x\0"], pollIntervalMs: 49 };
  await expect(startWatching(files, wrong)).rejects.toThrow(/path.*exclude\[0\].*exclude\[1\].*poll_interval_ms/);
});
