import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { KEPT_SNAPSHOTS } from "../../git/snapshot.ts";
import { commit, contents, git, reasonOf, repository, Sandbox, write } from "./sandbox.ts";

const TREE = {
  "README.md": "hello\n",
  "run.sh": { mode: 0o755, text: "#!/bin/sh\n" },
  "deep/er/file": "deep\n",
  link: { link: "deep/er" },
  dangling: { link: "/no/where" },
  binary: Buffer.from([0, 1, 2, 255, 0]),
  empty: "",
};

/** Everything in a directory, `.git` included, with times: what a snapshot must not touch. */
function everything(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const stat = statSync(join(directory, name), { throwIfNoEntry: false, bigint: true });
      return `${name} ${stat?.ino} ${stat?.mode} ${stat?.size} ${stat?.mtimeNs} ${stat?.ctimeNs}`;
    })
    .sort();
}

test("a snapshot restored in another sandbox gives the same tree: contents, modes and links", async () => {
  const here = await Sandbox.open();
  const one = here.workspace();
  write(one.path, TREE);
  const { snapshot, replayed } = await here.trees.snapshot(one, "first");
  expect(replayed).toBe(false);
  const there = await Sandbox.open({ artifactDirectory: here.artifactDirectory });
  const other = there.workspace();
  expect(await there.trees.restore(other, "first")).toEqual({ snapshot, changedFiles: 7 });
  expect(contents(other.path)).toEqual(contents(one.path));
  expect(await there.trees.origin(other)).toMatchObject({ baseCommit: "", restoredSnapshotId: "first" });
  expect((await there.trees.snapshot(other, "second")).snapshot.tree).toBe(snapshot.tree);
});

test("a snapshot touches no branch, index or file of the workspace", async () => {
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(await repository(TREE));
  write(one.path, { new: "x", "README.md": undefined, staged: "y" });
  git(one.path, "add", "staged");
  const before = everything(one.path);
  await sandbox.trees.snapshot(one, "s");
  await sandbox.diff(one);
  expect(everything(one.path)).toEqual(before);
});

test("equal trees have equal ids wherever they are, and git gives them the same", async () => {
  const url = await repository(TREE);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url, "", "acme/one");
  const two = sandbox.workspace("acme/two");
  write(two.path, TREE);
  const trees = [await sandbox.trees.snapshot(one, "s"), await sandbox.trees.snapshot(two, "s")].map(({ snapshot }) => snapshot.tree);
  expect(trees).toEqual([git(url, "rev-parse", "HEAD^{tree}"), git(url, "rev-parse", "HEAD^{tree}")]);
});

test("the same id is the first snapshot, also for a daemon that knows nothing of it", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "1" });
  const first = await sandbox.trees.snapshot(one, "s");
  write(one.path, { a: "2" });
  expect(await sandbox.trees.snapshot(one, "s")).toEqual({ ...first, replayed: true });
  const other = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  expect(await other.trees.snapshot(other.workspace(), "s")).toEqual({ ...first, replayed: true });
  expect(await reasonOf(() => other.trees.restore(other.workspace("acme/two"), "s"))).toBe("unknown_snapshot");
});

test("what .gitignore excludes is left out, but not what the repository holds in spite of it", async () => {
  const url = await repository({ ".gitignore": "*.log\nbuild/\n", "sub/.gitignore": "!keep.log\n/only-here\n" });
  write(url, { "kept.log": "1", "build/kept": "1", "build/deep/kept": "1" });
  git(url, "add", "-f", ".");
  commit(url);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  write(one.path, {
    "a.log": "x",
    "kept.log": "2",
    "build/new": "x",
    "build/deep/kept": "2",
    "build/deep/new": "x",
    "sub/keep.log": "x",
    "sub/only-here": "x",
    "only-here": "x",
  });
  await sandbox.trees.snapshot(one, "s");
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = there.workspace();
  await there.trees.restore(other, "s");
  expect(Object.keys(contents(other.path)).sort()).toEqual(
    [".gitignore", "build/deep/kept", "build/kept", "kept.log", "only-here", "sub/.gitignore", "sub/keep.log"].sort(),
  );
  // They still count where nothing but the snapshot says so.
  write(other.path, { "kept.log": "3" });
  expect((await there.diff(other, "s")).patch.toString()).toContain("kept.log");
});

test("a change is seen whatever it does to the file's times and size", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "one", b: "one" });
  utimesSync(join(one.path, "a"), 1000, 1000);
  const trees = new Set([(await sandbox.trees.snapshot(one, "s0")).snapshot.tree]);
  for (let i = 1; i <= 10; i++) {
    // The same inode, size and modification time, at once after it was read.
    writeFileSync(join(one.path, "a"), `on${i % 10}`);
    utimesSync(join(one.path, "a"), 1000, 1000);
    trees.add((await sandbox.trees.snapshot(one, `s${i}`)).snapshot.tree);
  }
  expect(trees.size).toBe(11);
});

test("a later snapshot of a large tree reads and stores only what has changed", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`d${i % 20}/f${i}`, `${i} ${Math.random()}`.repeat(30)])));
  const first = await sandbox.trees.snapshot(one, "first");
  write(one.path, { "d3/f3": "changed", new: "x", "d4/f4": undefined });
  const second = await sandbox.trees.snapshot(one, "second");
  expect(second.snapshot.bytes * 10).toBeLessThan(first.snapshot.bytes);
  const third = await sandbox.trees.snapshot(one, "third");
  expect(third.snapshot).toMatchObject({ tree: second.snapshot.tree, bytes: second.snapshot.bytes });
  expect(readdirSync(join(sandbox.artifactDirectory, "acme/one")).sort()).toEqual([
    "first.bundle",
    "first.json",
    "second.bundle",
    "second.json",
    "third.json",
  ]);
  for (const id of ["third", "first", "second"]) {
    const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
    const other = there.workspace();
    await there.trees.restore(other, id);
    expect(contents(other.path)["d3/f3"] === "file: changed").toBe(id !== "first");
    // What comes next builds on what was restored.
    write(other.path, { another: id });
    expect((await there.trees.snapshot(other, `after-${id}`)).snapshot.bytes * 10).toBeLessThan(first.snapshot.bytes);
  }
});

test("a difference as large as the whole is stored as a whole", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "1" });
  await sandbox.trees.snapshot(one, "small");
  write(one.path, { large: Buffer.from(Array.from({ length: 3_000_000 }, () => Math.floor(Math.random() * 256))) });
  await sandbox.trees.snapshot(one, "large");
  write(one.path, { a: "2" });
  expect((await sandbox.trees.snapshot(one, "next")).snapshot.bytes).toBeLessThan(10_000);
  rmSync(join(sandbox.artifactDirectory, "acme/one/small.bundle"));
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = there.workspace();
  await there.trees.restore(other, "next");
  expect(contents(other.path)).toEqual(contents(one.path));
});

test("many snapshots leave few packs, and all of them can be restored", async () => {
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(await repository(TREE));
  for (let i = 0; i < 18; i++) {
    write(one.path, { counter: String(i), [`f${i}`]: "x" });
    await sandbox.trees.snapshot(one, `s${i}`);
  }
  const packs = readdirSync(join(one.stateDirectory, "git/objects.git/objects/pack")).filter((name) => name.endsWith(".pack"));
  expect(packs.length).toBeLessThan(18);
  await sandbox.trees.restore(one, "s3");
  expect(readFileSync(join(one.path, "counter"), "utf8")).toBe("3");
  expect((await sandbox.diff(one, "s2")).files).toBe(2);
});

test("what is too large is left out and named, and the rest is stored", async () => {
  const sandbox = await Sandbox.open({ limits: { fileBytes: 1000, treeBytes: 1500, files: 4, depth: 3 } });
  const one = sandbox.workspace();
  const cases: [Record<string, string>, number, RegExp][] = [
    [{ "sub/huge": "x".repeat(1001), small: "1" }, 1, /^sub\/huge is larger than 1000 bytes$/],
    [{ a: "x".repeat(800), b: "x".repeat(800) }, 1, /^[ab] comes after 1500 bytes/],
    [{ a: "", b: "", c: "", d: "", e: "" }, 1, /^[a-e] comes after 4 files/],
    [{ "1/2/3/4/5": "", "1/2/3/file": "" }, 1, /^1\/2\/3\/4 lies below more than 3 directories$/],
    [Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`f${i}`, ""])), 56, /comes after 4 files/],
  ];
  for (const [index, [files, missing, why]] of cases.entries()) {
    rmSync(one.path, { recursive: true });
    mkdirSync(one.path);
    write(one.path, files);
    const { snapshot } = await sandbox.trees.snapshot(one, `s${index}`);
    const { named, more } = snapshot.leftOut;
    expect(named.length + more).toBe(missing);
    expect(named.length).toBeLessThanOrEqual(50);
    for (const { path, why: told } of named) expect(`${path} ${told}`).toMatch(why);
    const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
    const other = there.workspace();
    const restored = await there.trees.restore(other, `s${index}`);
    expect(restored.snapshot.leftOut).toEqual(snapshot.leftOut);
    expect((await there.trees.origin(other)).leftOut).toEqual(snapshot.leftOut);
    expect(Object.keys(contents(other.path))).toHaveLength(Object.keys(files).length - missing);
  }
});

test("a file of the source that has grown too large is neither deleted by a patch nor changed by a restore", async () => {
  const sandbox = await Sandbox.open({ limits: { fileBytes: 1000 } });
  const one = await sandbox.checkedOut(await repository({ data: "small", file: "1" }));
  write(one.path, { data: "x".repeat(1001), file: "2" });
  const { patch, files, leftOut } = await sandbox.diff(one);
  expect([files, leftOut.named.map(({ path }) => path)]).toEqual([1, ["data"]]);
  expect(patch.toString()).not.toContain("data");
  await sandbox.trees.snapshot(one, "s");
  write(one.path, { file: "3" });
  await sandbox.trees.restore(one, "s");
  expect(contents(one.path)).toEqual({ data: `file: ${"x".repeat(1001)}`, file: "file: 2" });
});

test("calls at once about one workspace don't disturb each other", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, TREE);
  const results = await Promise.all([
    sandbox.trees.snapshot(one, "a"),
    sandbox.trees.snapshot(one, "b"),
    sandbox.trees.snapshot(one, "a"),
    sandbox.diff(one),
    sandbox.diff(one, "a"),
  ]);
  expect(results.slice(0, 3).map((result) => "replayed" in result && result.replayed)).toEqual([false, false, true]);
});

test("a released workspace ends what goes on and refuses what waits", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, TREE);
  const running = [sandbox.trees.snapshot(one, "a"), sandbox.trees.snapshot(one, "b")].map((call) => reasonOf(() => call));
  await sandbox.trees.release(one);
  expect(await Promise.all(running)).toEqual(["git_aborted", "git_aborted"]);
  expect(await reasonOf(() => sandbox.trees.snapshot(one, "c"))).toBe("none");
});

test("a store that lost what its cache promises is filled again", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, TREE);
  await sandbox.trees.snapshot(one, "a");
  rmSync(join(one.stateDirectory, "git/objects.git"), { recursive: true });
  write(one.path, { new: "x" });
  await sandbox.trees.snapshot(one, "b");
  await sandbox.trees.restore(one, "b");
  writeFileSync(join(one.stateDirectory, "git/scan"), "half a fi");
  write(one.path, { new: "y" });
  await sandbox.trees.snapshot(one, "c");
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = there.workspace();
  await there.trees.restore(other, "c");
  expect(contents(other.path)).toEqual(contents(one.path));
});

test("only the newest snapshots stay in the artifact store, with all that they are made of", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  for (let i = 1; i <= KEPT_SNAPSHOTS + 3; i++) {
    write(one.path, { file: `${i}` });
    await sandbox.trees.snapshot(one, `s${i}`);
  }
  const stored = readdirSync(join(sandbox.artifactDirectory, "acme/one"));
  expect(stored.filter((name) => name.endsWith(".json"))).toHaveLength(KEPT_SNAPSHOTS);
  // The first one's bundle is what the others are the difference to.
  expect(stored.filter((name) => name.endsWith(".bundle"))).toHaveLength(KEPT_SNAPSHOTS + 1);
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = there.workspace();
  expect(await reasonOf(() => there.trees.restore(other, "s3"))).toBe("unknown_snapshot");
  for (const i of [4, KEPT_SNAPSHOTS + 3]) {
    await there.trees.restore(other, `s${i}`);
    expect(contents(other.path)).toEqual({ file: `file: ${i}` });
  }
});
