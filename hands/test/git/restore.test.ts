import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { formatManifest } from "../../git/manifest.ts";
import type { Workspace } from "../../workspaces/workspaces.ts";
import { commit, contents, git, reasonOf, repository, Sandbox, write } from "./sandbox.ts";

/** A workspace with a snapshot `s`. */
async function snapshotOf(
  files: Parameters<typeof write>[1],
): Promise<{ sandbox: Sandbox; one: Workspace; wanted: Record<string, string> }> {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, files);
  await sandbox.trees.snapshot(one, "s");
  return { sandbox, one, wanted: contents(one.path) };
}

test("what was changed, added, removed, made executable, turned into a link or a directory is as it was", async () => {
  const { sandbox, one, wanted } = await snapshotOf({
    changed: "1",
    removed: "1",
    "gone/with/all": "1",
    plain: "1",
    program: { mode: 0o755, text: "x" },
    link: { link: "changed" },
    "file-to-dir": "1",
    "dir-to-file/inner": "1",
    "dir-to-link/inner": "1",
    "link-to-dir": { link: "gone" },
    "-dash": "1",
  });
  write(one.path, { changed: "2", removed: undefined, gone: undefined, "new/er": "x", link: "a file", program: "x", "-dash": undefined });
  write(one.path, {
    plain: { mode: 0o755, text: "1" },
    "file-to-dir": undefined,
    "dir-to-file": "now a file",
    "dir-to-link": { link: "/etc" },
  });
  write(one.path, { "file-to-dir/a/b": "x", "link-to-dir": undefined });
  write(one.path, { "link-to-dir/x": "x" });
  const { changedFiles } = await sandbox.trees.restore(one, "s");
  expect(contents(one.path)).toEqual(wanted);
  expect(changedFiles).toBe(16);
  expect(existsSync(join(one.path, "new"))).toBe(false);
  expect(await sandbox.trees.restore(one, "s")).toMatchObject({ changedFiles: 0 });
  expect(existsSync(join(one.stagingDirectory, "restore"))).toBe(false);
});

test("ignored files stay, unless something of the snapshot has to be where they are", async () => {
  const { sandbox, one } = await snapshotOf({ ".gitignore": "*.o\n/build\n", a: "1", clash: "a file" });
  write(one.path, { "x.o": "o", "build/out": "o", "sub/y.o": "o", clash: undefined, "new/z": "x", "new/z.o": "o" });
  write(one.path, { "clash/inner.o": "o" });
  await sandbox.trees.restore(one, "s");
  expect(Object.keys(contents(one.path)).sort()).toEqual([".gitignore", "a", "build/out", "clash", "new/z.o", "sub/y.o", "x.o"]);
});

test("it is the snapshot's rules that tell what is ignored, not those that came later", async () => {
  const { sandbox, one, wanted } = await snapshotOf({ ".gitignore": "old\n", a: "1" });
  write(one.path, { ".gitignore": "*\n", hidden: "x", old: "stays" });
  await sandbox.trees.restore(one, "s");
  expect(contents(one.path)).toEqual({ ...wanted, old: "file: stays" });
});

test("a repository in the workspace gets back the branch and index that it had", async () => {
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(await repository({ a: "1" }));
  write(one.path, { a: "2" });
  await sandbox.trees.snapshot(one, "s");
  write(one.path, { a: "3", b: "x" });
  git(one.path, "add", "-A");
  git(one.path, "commit", "-q", "-m", "mine");
  await sandbox.trees.restore(one, "s");
  expect([git(one.path, "log", "-1", "--format=%s"), git(one.path, "status", "--porcelain")]).toEqual(["first", "M a"]);
  git(one.path, "fsck", "--strict");
});

/** All that git knows of a repository: branches, what is staged, what is changed. */
function gitState(directory: string): string[] {
  git(directory, "fsck", "--strict");
  return [
    git(directory, "symbolic-ref", "HEAD"),
    git(directory, "for-each-ref", "--format=%(refname) %(objectname)"),
    git(directory, "ls-files", "--stage"),
    git(directory, "status", "--porcelain"),
    git(directory, "stash", "list", "--format=%gd %s"),
  ];
}

test("another sandbox gets repositories with their branches, index and stash, nested ones, empty directories and permissions", async () => {
  const source = await repository({ a: "1", ".gitignore": "ignored\n" });
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(source);
  git(one.path, "checkout", "-q", "-b", "work");
  write(one.path, { b: "committed" });
  commit(one.path, "mine");
  write(one.path, { a: "stashed" });
  git(one.path, "stash");
  write(one.path, { a: "staged", c: "untracked", secret: "x", "ignored/x": "1", run: { mode: 0o755, text: "x" } });
  git(one.path, "add", "a");
  mkdirSync(join(one.path, "nested"));
  git(join(one.path, "nested"), "init", "-q", "-b", "trunk");
  write(join(one.path, "nested"), { file: "1" });
  commit(join(one.path, "nested"), "nested");
  git(join(one.path, "nested"), "pack-refs", "--all");
  mkdirSync(join(one.path, "unborn"));
  git(join(one.path, "unborn"), "init", "-q", "-b", "later");
  mkdirSync(join(one.path, "empty/inner"), { recursive: true });
  mkdirSync(join(one.path, "private"), { mode: 0o700 });
  write(one.path, { "private/file": "x" });
  for (const [name, mode] of Object.entries({ secret: 0o600, run: 0o700, private: 0o700, "empty/inner": 0o750 }))
    chmodSync(join(one.path, name), mode);
  const { snapshot } = await sandbox.trees.snapshot(one, "s");
  expect(snapshot.leftOut.named).toEqual([]);
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = await there.checkedOut(source);
  write(other.path, { "stray/file": "x" });
  mkdirSync(join(other.path, "stray-empty"));
  await there.trees.restore(other, "s");
  for (const name of [".", "nested"]) expect(gitState(join(other.path, name)), name).toEqual(gitState(join(one.path, name)));
  expect(git(join(other.path, "unborn"), "symbolic-ref", "HEAD")).toBe("refs/heads/later");
  for (const name of ["secret", "run", "private", "private/file", "empty", "empty/inner", "nested"]) {
    expect(lstatSync(join(other.path, name)).mode, name).toBe(lstatSync(join(one.path, name)).mode);
  }
  expect([existsSync(join(other.path, "stray")), existsSync(join(other.path, "stray-empty"))]).toEqual([false, false]);
});

test("taken back, a workspace loses the commits, repositories, directories and permissions that came later", async () => {
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(await repository({ a: "1", kept: "1" }));
  chmodSync(join(one.path, "kept"), 0o600);
  const before = gitState(one.path);
  await sandbox.trees.snapshot(one, "s");
  git(one.path, "checkout", "-q", "-b", "failed");
  write(one.path, { a: "2" });
  commit(one.path, "failed");
  mkdirSync(join(one.path, "new/empty"), { recursive: true });
  git(join(one.path, "new"), "init", "-q");
  chmodSync(join(one.path, "a"), 0o666);
  chmodSync(join(one.path, "kept"), 0o644);
  await sandbox.trees.restore(one, "s");
  expect(gitState(one.path)).toEqual(before);
  expect([
    existsSync(join(one.path, "new")),
    lstatSync(join(one.path, "a")).mode & 0o777,
    lstatSync(join(one.path, "kept")).mode & 0o777,
  ]).toEqual([false, 0o644, 0o600]);
});

test("an unknown snapshot is unknown", async () => {
  const { sandbox, one } = await snapshotOf({ a: "1" });
  expect(await reasonOf(() => sandbox.trees.restore(one, "other"))).toBe("unknown_snapshot");
});

/** Ways in which what was stored may break. */
const DAMAGES: [string, (bundle: string, manifest: string) => void][] = [
  ["a truncated bundle", (bundle) => writeFileSync(bundle, readFileSync(bundle).subarray(0, 100))],
  ["an empty bundle", (bundle) => writeFileSync(bundle, "")],
  ["a missing bundle", (bundle) => rmSync(bundle)],
  ["a longer bundle", (bundle) => writeFileSync(bundle, "more", { flag: "a" })],
  [
    "a bundle with one wrong bit",
    (bundle) => {
      const content = readFileSync(bundle);
      content[content.length - 40] = (content[content.length - 40] ?? 0) ^ 1;
      writeFileSync(bundle, content);
    },
  ],
  ["an empty description", (_, manifest) => writeFileSync(manifest, "")],
  ["a description that is none", (_, manifest) => writeFileSync(manifest, '{"version":1,"bundles":[{}]}')],
  ["a description of another snapshot", (_, manifest) => writeFileSync(manifest, readFileSync(manifest, "utf8").replace('"s"', '"t"'))],
  [
    "a description of another tree",
    (_, manifest) => writeFileSync(manifest, readFileSync(manifest, "utf8").replace(/"tree":"./, '"tree":"0')),
  ],
  [
    "a description that points to another workspace",
    (_, manifest) => writeFileSync(manifest, readFileSync(manifest, "utf8").replace("acme/one/", "acme/two/")),
  ],
];

/** Ways in which somebody who can write to the store, but has not its users' key, may try to have something else restored. */
const FORGERIES: [string, (directory: string) => void][] = [
  [
    "another workspace's snapshot, its names rewritten",
    (directory) => {
      cpSync(join(directory, "other/one"), join(directory, "acme/one"), { recursive: true });
      const manifest = join(directory, "acme/one/s.json");
      writeFileSync(manifest, readFileSync(manifest, "utf8").replaceAll("other/one", "acme/one"));
    },
  ],
  [
    "another workspace's snapshot, as it is",
    (directory) => cpSync(join(directory, "other/one"), join(directory, "acme/one"), { recursive: true }),
  ],
  [
    "an impossible time",
    (directory) => {
      cpSync(join(directory, "other/one"), join(directory, "acme/one"), { recursive: true });
      const manifest = join(directory, "acme/one/s.json");
      writeFileSync(manifest, readFileSync(manifest, "utf8").replace(/"createdAtMs":\d+/g, '"createdAtMs":1e300'));
    },
  ],
  [
    "a description signed with another key",
    (directory) => {
      cpSync(join(directory, "other/one"), join(directory, "acme/one"), { recursive: true });
      const [json = ""] = readFileSync(join(directory, "other/one/s.json"), "utf8").split("\n");
      const manifest = JSON.parse(json.replaceAll("other/one", "acme/one"));
      const signer = { workspace: "acme/one", key: Buffer.alloc(32, "another") };
      writeFileSync(join(directory, "acme/one/s.json"), formatManifest(manifest, signer));
    },
  ],
  ["a description without an end", (directory) => writeFileSync(join(directory, "acme/one/s.json"), Buffer.alloc(2 * 1024 * 1024, " "))],
];

test.each(FORGERIES)("%s is no snapshot of a workspace", async (_what, forge) => {
  const sandbox = await Sandbox.open();
  const other = sandbox.workspace("other/one");
  write(other.path, { secret: "of another tenant" });
  await sandbox.trees.snapshot(other, "s");
  mkdirSync(join(sandbox.artifactDirectory, "acme/one"), { recursive: true });
  forge(sandbox.artifactDirectory);
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const one = there.workspace();
  expect(await reasonOf(() => there.trees.restore(one, "s"))).toBe("corrupt_snapshot");
  expect(contents(one.path)).toEqual({});
});

test.each([
  ["description", "s.json", "unknown_snapshot"],
  ["content", "s.bundle", "corrupt_snapshot"],
])("a pipe in the place of a snapshot's %s holds up nobody", async (_what, name, reason) => {
  const { sandbox } = await snapshotOf({ a: "1" });
  const { artifactDirectory } = sandbox;
  rmSync(join(artifactDirectory, "acme/one", name));
  execFileSync("mkfifo", [join(artifactDirectory, "acme/one", name)]);
  const there = await Sandbox.open({ artifactDirectory });
  expect(await reasonOf(() => there.trees.restore(there.workspace(), "s"))).toBe(reason);
});

test("whatever of a stored snapshot breaks, that is told, and the workspace is as it was", async () => {
  const { sandbox } = await snapshotOf({ a: "1", "sub/b": "2".repeat(1000) });
  for (const [what, damage] of DAMAGES) {
    const artifactDirectory = await temporaryDirectory();
    cpSync(sandbox.artifactDirectory, artifactDirectory, { recursive: true });
    damage(join(artifactDirectory, "acme/one/s.bundle"), join(artifactDirectory, "acme/one/s.json"));
    const there = await Sandbox.open({ artifactDirectory });
    const other = there.workspace();
    write(other.path, { mine: "untouched" });
    expect(await reasonOf(() => there.trees.restore(other, "s")), what).toBe("corrupt_snapshot");
    expect(contents(other.path), what).toEqual({ mine: "file: untouched" });
  }
});

test("after a damaged snapshot others are stored and restored, and the damaged one stays damaged", async () => {
  const { sandbox } = await snapshotOf({ a: "1" });
  const { artifactDirectory } = sandbox;
  rmSync(join(artifactDirectory, "acme/one/s.bundle"));
  const there = await Sandbox.open({ artifactDirectory });
  const other = there.workspace();
  write(other.path, { mine: "1" });
  for (const id of ["first", "second"]) {
    expect(await reasonOf(() => there.trees.restore(other, "s"))).toBe("corrupt_snapshot");
    await there.trees.snapshot(other, id);
    write(other.path, { mine: "2" });
    await there.trees.restore(other, id);
    expect(contents(other.path)).toEqual({ mine: "file: 1" });
  }
});

test("a bundle whose digest is right but whose content leads out of the workspace is refused", async () => {
  const here = await snapshotOf({ a: "1" });
  const { one, sandbox } = here;
  const gitDir = join(one.stateDirectory, "git/objects.git");
  const evil = join(sandbox.base, "evil");
  git(sandbox.base, "init", "-q", "--bare", evil);
  for (const name of ["..", ".git", ".GIT", "."]) {
    writeFileSync(join(sandbox.base, "blob"), "x");
    const blob = git(evil, "hash-object", "-w", join(sandbox.base, "blob"));
    const inner = git(evil, "hash-object", "-t", "tree", "-w", "--literally", treeFile(sandbox.base, "100644", "file", blob));
    const tree = git(evil, "hash-object", "-t", "tree", "-w", "--literally", treeFile(sandbox.base, "40000", name, inner));
    const state = join(one.stateDirectory, "git/state.json");
    const stored = JSON.parse(readFileSync(state, "utf8"));
    git(gitDir, "fetch", "-q", evil, `+${git(evil, "commit-tree", "-m", "x", tree)}:refs/evil/x`);
    stored.snapshots = [
      { ...stored.snapshots[0], tree, bundles: [{ ...stored.snapshots[0].bundles[0], commit: git(gitDir, "rev-parse", "refs/evil/x") }] },
    ];
    writeFileSync(state, JSON.stringify(stored));
    expect(await reasonOf(() => sandbox.trees.restore(one, "s")), name).toBe("corrupt_snapshot");
  }
  expect(contents(one.path)).toEqual({ a: "file: 1" });
  expect(existsSync(join(one.path, "..", "file"))).toBe(false);
});

function treeFile(directory: string, mode: string, name: string, oid: string): string {
  const path = join(directory, "tree");
  writeFileSync(path, Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(oid, "hex")]));
  return path;
}

test("a daemon killed in the middle of restoring is made good by the next one's", async () => {
  const files = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`d${i % 5}/f${i}`, `${i}`.padEnd(1000)]));
  const { sandbox, one, wanted } = await snapshotOf(files);
  const base = await temporaryDirectory();
  const fixture = join(import.meta.dirname, "fixtures/restore-once.ts");
  for (const bytes of [10_500, 40_500]) {
    const changed = Object.fromEntries(Object.keys(files).map((name) => [name, `changed ${bytes}`]));
    write(one.path, { ...changed, [`extra/${bytes}`]: "x" });
    // A git that gives away so many bytes of what is to be written, and then no more.
    const program = join(base, `git-${bytes}`);
    const marker = join(base, `${bytes}`);
    const script = `case " $* " in *" cat-file "*) git "$@" | head -c ${bytes}; mkdir ${marker}; sleep 1000;; esac`;
    writeFileSync(program, `#!/bin/sh\n${script}\nexec git "$@"\n`, { mode: 0o755 });
    const child = spawn(process.execPath, [fixture, JSON.stringify(one), sandbox.base, sandbox.artifactDirectory, program], {
      stdio: "inherit",
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    while (!existsSync(marker) || Object.values(contents(one.path)).filter((content) => content.includes("changed")).length === 60) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(contents(one.path)).not.toEqual(wanted);
    await sandbox.restarted().restore(one, "s");
    expect(contents(one.path)).toEqual(wanted);
    expect(existsSync(join(one.stagingDirectory, "restore"))).toBe(false);
  }
});

test("modes are those of the snapshot whatever the umask of the daemon", async () => {
  const { sandbox, one } = await snapshotOf({ "d/a": "1", "d/b": { mode: 0o755, text: "1" } });
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = there.workspace();
  const umask = process.umask(0o077);
  await there.trees.restore(other, "s").finally(() => process.umask(umask));
  expect(["d", "d/a", "d/b"].map((name) => lstatSync(join(other.path, name)).mode & 0o777)).toEqual([0o755, 0o644, 0o755]);
  expect(contents(other.path)).toEqual(contents(one.path));
});

test("a workspace whose directory is gone is told as such", async () => {
  const { sandbox, one } = await snapshotOf({ a: "1" });
  renameSync(one.path, `${one.path}.away`);
  expect(await reasonOf(() => sandbox.trees.restore(one, "s"))).toBe("workspace_missing");
  expect(await reasonOf(() => sandbox.trees.snapshot(one, "t"))).toBe("workspace_missing");
  mkdirSync(one.path);
  await sandbox.trees.restore(one, "s");
  expect(contents(one.path)).toEqual({ a: "file: 1" });
});
