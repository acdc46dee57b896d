import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { commit, contents, git, reasonOf, repository, Sandbox, write } from "./sandbox.ts";

test("a checkout is a whole repository at the commit that was asked for, clean, with the branch and the remote's others", async () => {
  const url = await repository({ a: "1", "run.sh": { mode: 0o755, text: "x" }, link: { link: "a" } });
  git(url, "checkout", "-q", "-b", "feature/x");
  write(url, { a: "2" });
  const head = commit(url, "second");
  git(url, "tag", "v1");
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url, "feature/x");
  expect(await sandbox.trees.origin(one)).toMatchObject({ baseCommit: head, restoredSnapshotId: "" });
  expect(contents(one.path)).toEqual(contents(url));
  expect(git(one.path, "status", "--porcelain", "--branch")).toBe("## feature/x...origin/feature/x");
  expect(git(one.path, "log", "--format=%s")).toBe("second\nfirst");
  expect(git(one.path, "rev-parse", "origin/main", "v1")).toBe(git(url, "rev-parse", "main", "v1"));
  expect(git(one.path, "fsck", "--full", "--strict")).toBe("");
  expect(git(one.path, "remote", "get-url", "origin")).toBe(url);
});

test("a command can exclude files in a checkout and give it hooks, as in any clone", async () => {
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(await repository());
  execFileSync("sh", ["-c", "echo '*.tmp' >> .git/info/exclude; printf '#!/bin/sh\\n' > .git/hooks/post-commit"], { cwd: one.path });
  write(one.path, { "a.tmp": "x" });
  expect(git(one.path, "status", "--porcelain")).toBe("");
});

test("a command can commit, branch, diff, stash, fetch and collect garbage in it, as whoever it says or as nobody in particular", async () => {
  const url = await repository();
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  write(one.path, { new: "x" });
  execFileSync("git", ["add", "-A"], { cwd: one.path });
  execFileSync("git", ["commit", "-q", "-m", "agent's"], {
    cwd: one.path,
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", GIT_CONFIG_GLOBAL: "/dev/null" },
  });
  expect(git(one.path, "log", "-1", "--format=%an %s")).toBe("agent agent's");
  git(one.path, "checkout", "-q", "-b", "mine");
  write(one.path, { new: "y" });
  git(one.path, "stash");
  commit(url);
  git(one.path, "fetch", "-q");
  git(one.path, "gc", "-q", "--prune=now");
  expect(git(one.path, "fsck", "--full")).toBe("");
  git(one.path, "stash", "pop", "-q");
  expect((await sandbox.diff(one)).patch.toString()).toContain("+y");
});

test("a tag and a commit are checked out without a branch", async () => {
  const url = await repository();
  const first = git(url, "rev-parse", "HEAD");
  git(url, "tag", "v1");
  commit(url);
  const sandbox = await Sandbox.open();
  const tagged = await sandbox.checkedOut(url, "v1", "acme/tagged");
  const pinned = await sandbox.checkedOut(url, first, "acme/pinned");
  for (const { path } of [tagged, pinned])
    expect([git(path, "rev-parse", "HEAD"), git(path, "branch", "--show-current")]).toEqual([first, ""]);
});

test("ten workspaces of one repository at ten refs, all at once", async () => {
  const url = await repository();
  const refs = Array.from({ length: 10 }, (_, i) => `b${i}`);
  for (const ref of refs) {
    git(url, "checkout", "-q", "-b", ref);
    write(url, { which: ref });
    commit(url, ref);
  }
  const sandbox = await Sandbox.open();
  const workspaces = await Promise.all(refs.map((ref) => sandbox.checkedOut(url, ref, `acme/${ref}`)));
  expect(workspaces.map(({ path }) => readFileSync(join(path, "which"), "utf8"))).toEqual(refs);
  expect(workspaces.map(({ path }) => git(path, "log", "-1", "--format=%s"))).toEqual(refs);
  expect(readdirSync(join(sandbox.base, "state/clones")).filter((name) => name.endsWith(".git")).length).toBe(1);
});

test("whatever a workspace does to its repository, the clone and its siblings don't notice", async () => {
  const url = await repository({ a: "x".repeat(1000) });
  const sandbox = await Sandbox.open();
  const bad = await sandbox.checkedOut(url, "", "acme/bad");
  const good = await sandbox.checkedOut(url, "", "acme/good");
  const packs = join(bad.path, ".git/objects/pack");
  for (const name of readdirSync(packs)) {
    expect(statSync(join(packs, name)).nlink).toBe(1);
    chmodSync(join(packs, name), 0o644);
    truncateSync(join(packs, name), 5);
  }
  expect(existsSync(join(bad.path, ".git/objects/info/alternates"))).toBe(false);
  rmSync(join(bad.path, ".git/refs"), { recursive: true });
  expect(git(good.path, "fsck", "--full")).toBe("");
  const next = await sandbox.checkedOut(url, "", "acme/next");
  expect(git(next.path, "fsck", "--full")).toBe("");
  // The daemon's own work in the damaged workspace goes on, too.
  write(bad.path, { a: "changed" });
  rmSync(join(bad.path, ".git"), { recursive: true });
  expect((await sandbox.diff(bad)).files).toBe(1);
  await sandbox.trees.snapshot(bad, "s");
});

test("a workspace stays whole when the clone and the repository are gone", async () => {
  const url = await repository({ a: "1" });
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  rmSync(join(sandbox.base, "state/clones"), { recursive: true });
  rmSync(url, { recursive: true });
  write(one.path, { a: "2" });
  expect(git(one.path, "fsck", "--full")).toBe("");
  expect((await sandbox.diff(one)).files).toBe(1);
  await sandbox.trees.snapshot(one, "s");
  write(one.path, { a: "3" });
  await sandbox.trees.restore(one, "s");
  expect(readFileSync(join(one.path, "a"), "utf8")).toBe("2");
});

test("with more history than is wanted, a workspace gets the commit alone", async () => {
  const url = await repository({ a: "1" });
  write(url, { a: "2" });
  commit(url, "second");
  const sandbox = await Sandbox.open({ checkout: { historyBytes: 10 } });
  const one = await sandbox.checkedOut(url, "main", "acme/one");
  const two = await sandbox.checkedOut(url, git(url, "rev-parse", "HEAD"), "acme/two");
  for (const { path } of [one, two]) {
    expect([git(path, "log", "--format=%s"), git(path, "status", "--porcelain"), git(path, "fsck")]).toEqual(["second", "", ""]);
  }
  expect(git(one.path, "status", "--branch", "--porcelain")).toBe("## main...origin/main");
  git(one.path, "fetch", "-q", "--unshallow");
  expect(git(one.path, "log", "--format=%s")).toBe("second\nfirst");
});

test("a repository whose own history is cut off is checked out with as much as it has", async () => {
  const origin = await repository({ a: "1" });
  commit(origin, "second");
  const url = `${origin}.shallow`;
  git(origin, "clone", "-q", "--depth=1", `file://${origin}`, url);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  expect([git(one.path, "log", "--format=%s"), git(one.path, "fsck")]).toEqual(["second", ""]);
  expect((await sandbox.diff(one)).files).toBe(0);
});

test("a repository's attributes are applied as everywhere, and what they did is not taken for a change", async () => {
  const attributes =
    "*.crlf text eol=crlf\n*.id ident\n*.lfs filter=lfs diff=lfs merge=lfs -text\n*.utf16 working-tree-encoding=UTF-16LE\n";
  const url = await repository({ ".gitattributes": attributes, "a.crlf": "1\n2\n", "a.id": "$Id$\n", "a.lfs": "pointer\n" });
  write(url, { "a.utf16": Buffer.from("ä\n", "utf16le") });
  commit(url);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  expect(readFileSync(join(one.path, "a.crlf"), "utf8")).toBe("1\r\n2\r\n");
  expect(git(one.path, "status", "--porcelain")).toBe("");
  expect((await sandbox.diff(one)).files).toBe(0);
});

test("submodules are checked out at the commits that their parents name, with repositories of their own, and are no change", async () => {
  const innermost = await repository({ deep: "x" });
  const inner = await repository({ inside: "x" });
  git(inner, "submodule", "--quiet", "add", innermost, "lib/deep");
  const pinned = commit(inner);
  const url = await repository();
  git(url, "submodule", "--quiet", "add", "--name", "a name", inner, "sub");
  git(url, "submodule", "--quiet", "add", `../../${inner.split("/").slice(-2).join("/")}`, "relative");
  commit(url);
  write(inner, { later: "x" });
  commit(inner);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  for (const path of ["sub", "relative"]) {
    expect(readdirSync(join(one.path, path)).sort()).toEqual([".git", ".gitmodules", "inside", "lib"]);
    expect(git(join(one.path, path), "rev-parse", "HEAD")).toBe(pinned);
    expect(readFileSync(join(one.path, path, "lib/deep/deep"), "utf8")).toBe("x");
  }
  expect(git(one.path, "status", "--porcelain")).toBe("");
  expect(git(one.path, "submodule", "status", "--recursive")).not.toMatch(/^[-+U]/m);
  expect(await sandbox.diff(one)).toMatchObject({ files: 0, leftOut: { named: [] } });
  git(one.path, "submodule", "--quiet", "update", "--init", "--recursive");
  write(one.path, { "sub/lib/deep/deep": "y" });
  expect(await sandbox.diff(one)).toMatchObject({ files: 0, leftOut: { named: [{ path: "sub" }] } });
});

test("a submodule that can't be had stays an empty directory, and the workspace says so", async () => {
  const inner = await repository({ inside: "x" });
  const url = await repository();
  for (const name of ["gone", "elsewhere"]) git(url, "submodule", "--quiet", "add", inner, name);
  git(url, "config", "--file", ".gitmodules", "submodule.gone.url", `${inner}-gone`);
  git(url, "config", "--file", ".gitmodules", "submodule.elsewhere.url", "https://127.0.0.1/a.git");
  commit(url);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  expect([readdirSync(join(one.path, "gone")), readdirSync(join(one.path, "elsewhere"))]).toEqual([[], []]);
  const { named } = (await sandbox.trees.origin(one)).leftOut;
  expect(named.map(({ path }) => path).sort()).toEqual(["elsewhere", "gone"]);
  expect(named.map(({ why }) => why).join()).toContain("may not be reached");
  expect((await sandbox.diff(one)).files).toBe(0);
});

test("a clone with a broken pack is replaced, and the checkout succeeds", async () => {
  const url = await repository({ a: "x".repeat(1000) });
  const head = git(url, "rev-parse", "HEAD");
  const sandbox = await Sandbox.open();
  await sandbox.checkedOut(url, head, "acme/one");
  const clone = readdirSync(join(sandbox.base, "state/clones")).find((name) => name.endsWith(".git")) ?? "";
  const packs = join(sandbox.base, "state/clones", clone, "objects/pack");
  for (const name of readdirSync(packs)) {
    if (!name.endsWith(".pack")) continue;
    // A copy, so that it is the clone's pack only that breaks.
    const content = readFileSync(join(packs, name));
    rmSync(join(packs, name));
    writeFileSync(join(packs, name), content.fill(0, 200, content.length - 20));
  }
  const two = await sandbox.checkedOut(url, head, "acme/two");
  expect(git(two.path, "fsck", "--full")).toBe("");
});

test("a source that can't be had leaves a workspace that can be made from another", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  expect(await reasonOf(() => sandbox.trees.checkOut(one, one.path, { url: join(sandbox.base, "nowhere"), ref: "" }))).toBe(
    "source_unavailable",
  );
  const url = await repository();
  expect(await reasonOf(() => sandbox.trees.checkOut(one, one.path, { url, ref: "nope" }))).toBe("unknown_ref");
  await sandbox.trees.checkOut(one, one.path, { url, ref: "" });
  expect(git(one.path, "status", "--porcelain")).toBe("");
});
