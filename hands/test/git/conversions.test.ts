import { execFileSync } from "node:child_process";
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import type { Workspace } from "../../workspaces/workspaces.ts";
import { type Content, commit, contents, git, repository, Sandbox, write } from "./sandbox.ts";

const WAYS = [[], ["--index"], ["--cached"], ["--3way"]];

/** The tree that a user's git makes of everything in a directory. */
function treeOf(directory: string): string {
  git(directory, "add", "-A");
  return git(directory, "write-tree");
}

/** Apply a patch, in each way that git has, to a clone of a repository: a commit has the workspace's files then. */
async function expectApplies(url: string, workspace: Workspace, patch: Buffer): Promise<void> {
  const expected = treeOf(workspace.path);
  for (const way of WAYS) {
    const clone = join(await temporaryDirectory(), "clone");
    git(url, "clone", "-q", url, clone);
    execFileSync("git", ["apply", "--whitespace=nowarn", ...way, "-"], { cwd: clone, input: patch, stdio: ["pipe", "pipe", "pipe"] });
    expect(way.length === 0 ? treeOf(clone) : git(clone, "write-tree"), way.join()).toBe(expected);
  }
}

const utf16 = (text: string): Buffer => Buffer.from(text, "utf16le");

const CASES: [string, string, Record<string, Content>, Record<string, Content>][] = [
  ["ident", "*.c ident\n", { "a.c": "/* $Id$ */\nint a;\nint b;\n" }, { "a.c": "int c;\n" }],
  ["eol=crlf", "*.txt text eol=crlf\n", { "a.txt": "1\n2\n3\n" }, { "a.txt": "4\r\n" }],
  ["text=auto with CRLF in the commit", "", { "a.txt": "1\r\n2\r\n" }, { "a.txt": "3\r\n", ".gitattributes": "* text=auto\n" }],
  ["working-tree-encoding", "*.u working-tree-encoding=UTF-16LE\n", { "a.u": utf16("ä\nb\n") }, { "a.u": utf16("c\n") }],
  ["a filter that nobody configured", "*.lfs filter=lfs -text\n", { "a.lfs": "pointer\n" }, { "a.lfs": "more\n" }],
  ["attributes of a directory", "", { "d/.gitattributes": "*.c ident\n", "d/a.c": "$Id$\n1\n" }, { "d/a.c": "2\n" }],
];

test.each(CASES)(
  "a patch is against the commit though its files are converted on checkout: %s",
  async (_name, attributes, before, added) => {
    const url = await repository({ ".gitattributes": attributes, ...before });
    const sandbox = await Sandbox.open();
    const one = await sandbox.checkedOut(url);
    expect((await sandbox.diff(one)).files).toBe(0);
    for (const [name, content] of Object.entries(added)) appendFileSync(join(one.path, name), content as string | Buffer);
    const { patch, files } = await sandbox.diff(one);
    expect(files).toBe(Object.keys(added).length);
    await expectApplies(url, one, patch);
  },
);

test("files that are new, moved and removed are converted as well", async () => {
  const url = await repository({
    ".gitattributes": "*.c ident\n*.txt eol=crlf\n*.u working-tree-encoding=UTF-16LE\n",
    "old.c": "$Id$\n".repeat(9),
    "gone.txt": "1\n",
    "x.txt": "1\n2\n",
  });
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  const old = readFileSync(join(one.path, "old.c"));
  write(one.path, { "old.c": undefined, "gone.txt": undefined, "d/new.c": old, "new.txt": "1\r\n", "y.u": utf16("ö\n") });
  const { patch } = await sandbox.diff(one);
  expect(patch.toString()).toContain("rename from old.c");
  expect(patch.toString()).toContain("+ö\n");
  await expectApplies(url, one, patch);
});

test("a file that its attributes can't convert is in the patch as it is", async () => {
  const url = await repository({ ".gitattributes": "*.u working-tree-encoding=UTF-16LE\n*.n working-tree-encoding=none-such\n", a: "1\n" });
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  write(one.path, { "odd.u": "abc", "x.n": "x\n", a: "2\n" });
  const { files, patch } = await sandbox.diff(one);
  expect(files).toBe(3);
  expect(patch.toString()).toContain("+abc");
});

test("a patch is UTF-8, whatever encoding text is in, and where git would cut a character in two", async () => {
  const head = `func ${"ä".repeat(60)}() {\n${"\tx\n".repeat(12)}`;
  const url = await repository({ latin: Buffer.from("caf\xe9\n1\n", "latin1"), "go.go": `${head}}\n`, "[odd] *": "1\n" });
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  write(one.path, { latin: Buffer.from("caf\xe9\n2\n", "latin1"), "go.go": `${head}y\n}\n`, "[odd] *": Buffer.from("\xff\n", "latin1") });
  write(one.path, { readable: "grüße\n" });
  const { patch } = await sandbox.diff(one);
  const text = new TextDecoder("utf-8", { fatal: true }).decode(patch);
  expect(text.match(/GIT binary patch/g)?.length).toBe(2);
  expect(text).toContain("+grüße\n");
  await expectApplies(url, one, patch);
});

/** A repository with a submodule `sub`, and a checkout of it. */
async function withSubmodule(): Promise<{ url: string; inner: string; sandbox: Sandbox; one: Workspace }> {
  const inner = await repository({ inside: "x\n" });
  const url = await repository({ a: "1\n" });
  git(url, "submodule", "--quiet", "add", inner, "sub");
  commit(url);
  const sandbox = await Sandbox.open();
  return { url, inner, sandbox, one: await sandbox.checkedOut(url) };
}

test("what lies below a submodule is left out of a patch, and the summary says so", async () => {
  const { sandbox, one } = await withSubmodule();
  git(one.path, "submodule", "--quiet", "update", "--init");
  write(one.path, { a: "2\n", "sub/inside": "changed\n", "sub/new": "x" });
  const { patch, files, leftOut } = await sandbox.diff(one);
  expect([files, leftOut.named.map(({ path }) => path)]).toEqual([1, ["sub"]]);
  expect(patch.toString()).not.toContain("sub/");
});

test("a submodule at another commit, and one that is gone, are in the patch, which applies", async () => {
  const { url, sandbox, one } = await withSubmodule();
  git(one.path, "submodule", "--quiet", "update", "--init");
  const moved = commit(join(one.path, "sub"), "moved");
  const { patch, files, leftOut } = await sandbox.diff(one);
  expect([files, leftOut.named]).toEqual([1, []]);
  expect(patch.toString()).toContain(`+Subproject commit ${moved}`);
  for (const way of [["--index"], ["--cached"]]) {
    const clone = join(await temporaryDirectory(), "clone");
    git(url, "clone", "-q", url, clone);
    execFileSync("git", ["apply", ...way, "-"], { cwd: clone, input: patch });
    expect(git(clone, "ls-files", "-s", "sub")).toContain(moved);
  }
  git(one.path, "rm", "-q", "-f", "sub");
  const removed = await sandbox.diff(one);
  expect(removed.patch.toString()).toContain("deleted file mode 160000");
  const clone = join(await temporaryDirectory(), "clone");
  git(url, "clone", "-q", url, clone);
  execFileSync("git", ["apply", "--index", "-"], { cwd: clone, input: removed.patch });
  expect(git(clone, "ls-files").split("\n")).toEqual(contentsOf(one));
});

test("a submodule whose branches git has packed into one file is still seen to have moved", async () => {
  const { sandbox, one } = await withSubmodule();
  git(one.path, "submodule", "--quiet", "update", "--init");
  const sub = join(one.path, "sub");
  git(sub, "checkout", "-q", "-b", "work");
  const moved = commit(sub, "moved");
  git(sub, "pack-refs", "--all");
  expect((await sandbox.diff(one)).patch.toString()).toContain(`+Subproject commit ${moved}`);
});

test("a submodule whose repository names what it must not, or can't be read, counts as unchanged", async () => {
  const { sandbox, one } = await withSubmodule();
  const outside = await repository();
  for (const pointer of [`gitdir: ${outside}/.git\n`, "gitdir: ../../..\n", "nonsense", "gitdir: .\n"]) {
    write(one.path, { "sub/.git": pointer });
    expect((await sandbox.diff(one)).files, pointer).toBe(0);
  }
});

function contentsOf(workspace: Workspace): string[] {
  return Object.keys(contents(workspace.path)).sort();
}
