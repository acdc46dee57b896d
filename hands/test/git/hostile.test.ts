import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import type { Workspace } from "../../workspaces/workspaces.ts";
import { commit, contents, git, repository, Sandbox, write } from "./sandbox.ts";

/** Run everything that the daemon does with a workspace's tree. */
async function everyOperation(sandbox: Sandbox, workspace: Workspace): Promise<Record<string, string>> {
  await sandbox.diff(workspace);
  await sandbox.trees.snapshot(workspace, "s");
  await sandbox.diff(workspace, "s");
  await sandbox.trees.restore(workspace, "s");
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = there.workspace(workspace.name);
  await there.trees.restore(other, "s");
  return contents(other.path);
}

test("nothing that a workspace's repository, attributes or files name is run or read", async () => {
  const outside = await temporaryDirectory();
  const marker = join(outside, "marker");
  const trap = join(outside, "trap.sh");
  writeFileSync(trap, `#!/bin/sh\necho "$0 $*" >> ${marker}\ncat\n`);
  chmodSync(trap, 0o755);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(await repository({ a: "1\n", "b.bin": "2\n" }));
  for (const [name, value] of [
    ["core.fsmonitor", trap],
    ["core.hooksPath", outside],
    ["core.worktree", outside],
    ["core.attributesFile", join(outside, "attributes")],
    ["core.excludesFile", join(outside, "excludes")],
    ["core.editor", trap],
    ["core.pager", trap],
    ["core.sshCommand", trap],
    ["core.alternateRefsCommand", trap],
    ["diff.external", trap],
    ["diff.evil.textconv", trap],
    ["diff.evil.command", trap],
    ["filter.evil.clean", trap],
    ["filter.evil.smudge", trap],
    ["filter.evil.process", trap],
    ["filter.evil.required", "true"],
    ["merge.evil.driver", trap],
    ["alias.diff-tree", `!${trap}`],
    ["gpg.program", trap],
    ["uploadpack.packObjectsHook", trap],
    ["include.path", join(outside, "config")],
  ] as const) {
    git(one.path, "config", "--file", ".git/config", name, value);
  }
  for (const hook of ["pre-commit", "post-checkout", "post-index-change", "reference-transaction", "fsmonitor-watchman"]) {
    mkdirSync(join(one.path, ".git/hooks"), { recursive: true });
    symlinkSync(trap, join(one.path, ".git/hooks", hook));
  }
  mkdirSync(join(one.path, ".git/objects/info"), { recursive: true });
  writeFileSync(join(one.path, ".git/objects/info/alternates"), `${outside}\n`);
  write(one.path, {
    ".gitattributes": "* filter=evil diff=evil merge=evil ident export-subst working-tree-encoding=UTF-16\n",
    a: "$Id$ changed\n",
    "b.bin": "3\n",
  });
  write(one.path, {
    ".gitmodules": `[submodule "x"]\n\tpath = x\n\turl = ext::${trap}\n\tupdate = !${trap}\n`,
    ".gitconfig": `[core]\n\tfsmonitor = ${trap}\n`,
    ".lfsconfig": "x",
  });
  expect(await everyOperation(sandbox, one)).toEqual(contents(one.path));
  expect(existsSync(marker)).toBe(false);
});

test("a repository that is hostile from the start is checked out without running anything", async () => {
  const outside = await temporaryDirectory();
  const marker = join(outside, "marker");
  const url = await repository({
    ".gitattributes": "* filter=evil\n",
    ".gitmodules": `[submodule "--upload-pack=touch ${marker}"]\n\tpath = sub\n\turl = ext::touch ${marker}\n`,
    "link-out": { link: outside },
    "hooks/post-checkout": { mode: 0o755, text: `#!/bin/sh\ntouch ${marker}\n` },
    HEAD: "ref: refs/heads/main\n",
    config: `[core]\n\tfsmonitor = touch ${marker}\n\tbare = true\n`,
    "objects/x": "",
    "refs/x": "",
  });
  for (const hook of ["post-checkout", "upload-pack", "reference-transaction"]) {
    mkdirSync(join(url, ".git/hooks"), { recursive: true });
    writeFileSync(join(url, ".git/hooks", hook), `#!/bin/sh\ntouch ${marker}\n`, { mode: 0o755 });
  }
  git(url, "config", "uploadpack.packObjectsHook", `touch ${marker};`);
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  expect(await everyOperation(sandbox, one)).toEqual(contents(url));
  expect(existsSync(marker)).toBe(false);
});

test("symbolic links are kept as they are and lead nowhere", async () => {
  const outside = await temporaryDirectory();
  write(outside, { secret: "secret", "directory/secret": "secret", ".gitignore": "*\n" });
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, {
    file: { link: join(outside, "secret") },
    directory: { link: join(outside, "directory") },
    up: { link: "../.." },
    loop: { link: "loop" },
    ".gitignore": { link: join(outside, ".gitignore") },
  });
  const before = contents(outside);
  const restored = await everyOperation(sandbox, one);
  expect(restored).toEqual(contents(one.path));
  expect(JSON.stringify(restored)).not.toContain("file: secret");
  // A directory that became a link is not written through.
  const two = sandbox.workspace("acme/two");
  write(two.path, { "directory/secret": "mine", "directory/deep/x": "mine" });
  await sandbox.trees.snapshot(two, "s");
  write(two.path, { directory: { link: join(outside, "directory") } });
  await sandbox.trees.restore(two, "s");
  expect(contents(two.path)).toEqual({ "directory/secret": "file: mine", "directory/deep/x": "file: mine" });
  expect(contents(outside)).toEqual(before);
});

test("names of any bytes come back: newlines, dashes, quotes, backslashes, spaces, invalid UTF-8", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  const names = [
    "-rf",
    "--",
    "--all",
    "a\nb",
    "a\tb",
    '"quoted"',
    "back\\slash",
    " ",
    "  lead",
    "trail ",
    "*",
    "?",
    "[a]",
    ":(top)x",
    ":x",
    "~",
    "$(id)",
    "`id`",
    ";",
    "#",
    "!",
    "\x01\x7f",
    "\xff\xfe",
    "\xc3\x28",
    "e\xcc\x81",
    "a".repeat(255),
    "CON",
    "git~1",
    ".gitignore ",
    "...",
  ];
  for (const name of names) writeFileSync(Buffer.from(`${one.path}/${name}`, "latin1"), name);
  for (const name of ["-d", "\xff", "new\nline"]) {
    mkdirSync(Buffer.from(`${one.path}/dir${name}`, "latin1"));
    writeFileSync(Buffer.from(`${one.path}/dir${name}/${name}`, "latin1"), name);
  }
  const restored = await everyOperation(sandbox, one);
  expect(restored).toEqual(contents(one.path));
  expect(Object.keys(restored).length).toBe(names.length + 3);
});

test("repositories inside the tree travel as plain files, whatever they hold, and are left alone", async () => {
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(await repository({ a: "1" }));
  const inner = join(one.path, "vendor/inner");
  mkdirSync(inner, { recursive: true });
  git(inner, "init", "-q");
  write(inner, { x: "1", ".gitignore": "*.o\n", "y.o": "o" });
  commit(inner);
  write(one.path, { "fake/.git": "gitdir: /etc\n", "fake/x": "1", "odd/.GIT/hooks/x": "1", "odd/y": "1" });
  const restored = await everyOperation(sandbox, one);
  expect(Object.keys(restored).sort()).toEqual(["a", "fake/x", "odd/.GIT/hooks/x", "odd/y", "vendor/inner/.gitignore", "vendor/inner/x"]);
  expect(git(inner, "status", "--porcelain")).toBe("");
  expect(readFileSync(join(one.path, "fake/.git"), "utf8")).toBe("gitdir: /etc\n");
});

test("a `.git` that is a link or a file leads the daemon nowhere", async () => {
  const outside = await repository({ secret: "secret" });
  const sandbox = await Sandbox.open();
  for (const [name, content] of [
    ["link", { link: join(outside, ".git") }],
    ["file", `gitdir: ${outside}/.git\n`],
  ] as const) {
    const one = sandbox.workspace(`acme/${name}`);
    write(one.path, { ".git": content, a: "1" });
    expect(await everyOperation(sandbox, one)).toEqual({ a: "file: 1" });
  }
  expect(git(outside, "status", "--porcelain")).toBe("");
});

test("what is no file is passed over: FIFOs and sockets block nobody", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "1" });
  execFileSync("mkfifo", [join(one.path, "fifo"), join(one.path, ".gitignore")]);
  expect(await everyOperation(sandbox, one)).toEqual({ a: "file: 1" });
  expect(readdirSync(one.path).sort()).toEqual([".gitignore", "a", "fifo"]);
});

test("where a FIFO or a directory full of ignored files is in the way of a file, the file wins", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "1", "b/c": "1" });
  await sandbox.trees.snapshot(one, "s");
  write(one.path, { a: undefined, b: undefined });
  execFileSync("mkfifo", [join(one.path, "a"), join(one.path, "b")]);
  await sandbox.trees.restore(one, "s");
  expect(contents(one.path)).toEqual({ a: "file: 1", "b/c": "file: 1" });
});

test("a file that is linked twice is replaced where it is, not written through", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "1" });
  await sandbox.trees.snapshot(one, "s");
  write(one.path, { a: "2" });
  const outside = join(await temporaryDirectory(), "linked");
  linkSync(join(one.path, "a"), outside);
  await sandbox.trees.restore(one, "s");
  expect([readFileSync(join(one.path, "a"), "utf8"), readFileSync(outside, "utf8")]).toEqual(["1", "2"]);
});

test("files that grow, shrink and vanish while they are read break nothing", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { large: "x".repeat(1_500_000), "d/a": "1", "d/b": "1" });
  let stop = false;
  const busy = (async () => {
    for (let i = 0; !stop; i++) {
      write(one.path, { large: "y".repeat((i * 700_001) % 2_500_000), [`d/${i % 7}`]: i % 2 === 0 ? "1" : undefined });
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  for (let i = 0; i < 5; i++) await sandbox.trees.snapshot(one, `s${i}`);
  stop = true;
  await busy;
  const last = await sandbox.trees.snapshot(one, "last");
  const quiet = sandbox.workspace("acme/quiet");
  for (const [path, content] of Object.entries(contents(one.path))) write(quiet.path, { [path]: content.replace("file: ", "") });
  expect(last.snapshot.tree).toBe((await sandbox.trees.snapshot(quiet, "s")).snapshot.tree);
});
