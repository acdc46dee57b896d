import { execFileSync } from "node:child_process";
import { chmodSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { NOTHING_LEFT_OUT } from "../../fs/left-out.ts";
import { type Content, commit, contents, git, reasonOf, repository, Sandbox, write } from "./sandbox.ts";

/** Apply a patch to a copy of a repository at a commit, as whoever gets it would. */
async function applied(url: string, ref: string, patch: Buffer): Promise<Record<string, string>> {
  const directory = join(await temporaryDirectory(), "clone");
  git(url, "clone", "-q", url, directory);
  git(directory, "checkout", "-q", "--detach", ref);
  if (patch.length > 0) execFileSync("git", ["apply", "--index", "--whitespace=nowarn", "-"], { cwd: directory, input: patch });
  return contents(directory);
}

const BASE: Record<string, Content> = {
  changed: "1\n2\n3\n",
  removed: "gone\n",
  "old name": "the same for many lines\n".repeat(20),
  program: { mode: 0o755, text: "x\n" },
  plain: "x\n",
  link: { link: "changed" },
  binary: Buffer.from([0, 1, 2, 3, 255]),
  "no newline": "end",
  crlf: "1\r\n2\r\n",
};

test("a patch has new, deleted, renamed, binary, linked and mode-changed files, and gives the workspace's tree on the base", async () => {
  const url = await repository(BASE);
  const base = git(url, "rev-parse", "HEAD");
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  write(one.path, {
    changed: "1\ntwo\n3\n",
    removed: undefined,
    "new/file": "new\n",
    "new/binary": Buffer.from([0, 255, 0]),
    binary: Buffer.from([9, 0, 9]),
  });
  write(one.path, {
    link: { link: "elsewhere" },
    "no newline": "end\n",
    crlf: "1\r\n2\r\n3\r\n",
    "empty\tfile": "",
    'quote"d': "x",
    "new\nline": "x",
    "-dash": "x",
  });
  renameSync(join(one.path, "old name"), join(one.path, "new name"));
  chmodSync(join(one.path, "program"), 0o644);
  chmodSync(join(one.path, "plain"), 0o755);
  writeFileSync(Buffer.concat([Buffer.from(`${one.path}/`), Buffer.from([0xff, 0xfe])]), "not UTF-8");
  const { patch, ...summary } = await sandbox.diff(one);
  const text = patch.toString("latin1");
  for (const part of [
    "new file mode 100644",
    "deleted file mode 100644",
    "rename from old name",
    "rename to new name",
    "GIT binary patch",
    "old mode 100755",
    "new mode 100755",
  ]) {
    expect(text).toContain(part);
  }
  expect(summary).toEqual({ files: 16, bytes: patch.length, truncated: false, leftOut: NOTHING_LEFT_OUT });
  expect(await applied(url, base, patch)).toEqual(contents(one.path));
});

test("any change makes a patch that applies", async () => {
  const url = await repository(BASE);
  const base = git(url, "rev-parse", "HEAD");
  const name = fc.constantFrom(...Object.keys(BASE), "new", "dir/new", "changed/below", "dir", "ünï cödé", " ");
  const content: fc.Arbitrary<Content> = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom("1\n", "2\n", "\r\n", "x"), { maxLength: 8 }).map((parts) => parts.join("")),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    fc.record({ mode: fc.constant(0o755), text: fc.string() }),
    fc.constant(undefined),
    fc.constant({ link: "anywhere" }),
  );
  const sandbox = await Sandbox.open();
  const one = await sandbox.checkedOut(url);
  await sandbox.trees.snapshot(one, "base");
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, content), { maxLength: 8 }), async (changes) => {
      await sandbox.trees.restore(one, "base");
      for (const [path, value] of changes) {
        try {
          write(one.path, { [path]: value });
        } catch {
          // A file where a directory would have to be.
        }
      }
      expect(await applied(url, base, (await sandbox.diff(one)).patch)).toEqual(contents(one.path));
    }),
    { numRuns: 12 },
  );
});

test("a diff since a snapshot has only what came later, also in another sandbox", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "1\n", b: "1\n" });
  await sandbox.trees.snapshot(one, "s");
  write(one.path, { b: "2\n" });
  expect(await sandbox.diff(one, "s")).toMatchObject({ files: 1 });
  expect(await sandbox.diff(one)).toMatchObject({ files: 2 });
  const there = await Sandbox.open({ artifactDirectory: sandbox.artifactDirectory });
  const other = there.workspace();
  write(other.path, { a: "1\n", b: "3\n" });
  expect((await there.diff(other, "s")).patch.toString()).toContain("-1\n+3\n");
  expect(await reasonOf(() => there.diff(other, "unknown"))).toBe("unknown_snapshot");
});

test("a workspace that was begun with files is compared with those", async () => {
  const sandbox = await Sandbox.open();
  const origin = await sandbox.checkedOut(await repository({ ".gitignore": "*.log\n", a: "1" }), "", "acme/origin");
  write(origin.path, { a: "2", "x.log": "x" });
  const copy = sandbox.workspace("acme/copy");
  write(copy.path, { ".gitignore": "*.log\n", a: "2", "x.log": "x" });
  expect(await sandbox.trees.begin(copy, copy.path, { original: origin, leftOut: NOTHING_LEFT_OUT })).toEqual({
    baseCommit: "",
    restoredSnapshotId: "",
    leftOut: NOTHING_LEFT_OUT,
  });
  expect(await sandbox.diff(copy)).toMatchObject({ files: 0 });
  write(copy.path, { a: "3" });
  expect(await sandbox.diff(copy)).toMatchObject({ files: 1 });
});

test("what counts in spite of .gitignore counts in a copy, too", async () => {
  const url = await repository({ ".gitignore": "*.log\n" });
  write(url, { "kept.log": "1" });
  git(url, "add", "-f", ".");
  commit(url);
  const sandbox = await Sandbox.open();
  const origin = await sandbox.checkedOut(url, "", "acme/origin");
  const copy = sandbox.workspace("acme/copy");
  write(copy.path, { ".gitignore": "*.log\n", "kept.log": "1" });
  await sandbox.trees.begin(copy, copy.path, { original: origin, leftOut: NOTHING_LEFT_OUT });
  write(copy.path, { "kept.log": "2", "other.log": "x" });
  expect(await sandbox.diff(copy)).toMatchObject({ files: 1 });
});

test("a patch longer than was asked for is cut there, and counted to its end", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  // Contents that look like the start of a file's part of a patch count for nothing.
  write(one.path, Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`f${i}`, "diff --git a/x b/x\n".repeat(2000)])));
  const whole = await sandbox.diff(one);
  expect(whole).toMatchObject({ files: 30, truncated: false, bytes: whole.patch.length });
  for (const limit of [1, 300_000, whole.bytes - 1]) {
    const cut = await sandbox.diff(one, "", limit);
    expect(cut).toMatchObject({ files: 30, truncated: true, bytes: whole.bytes });
    expect(cut.patch.equals(whole.patch.subarray(0, limit))).toBe(true);
  }
  expect(await sandbox.diff(one, "", whole.bytes)).toMatchObject({ truncated: false });
});

test("a reader that stops leaves nothing open, and one that is slow holds up nobody", async () => {
  const sandbox = await Sandbox.open();
  const one = sandbox.workspace();
  write(one.path, { a: "x\n".repeat(1_000_000) });
  const slow = sandbox.trees.diff(one, { sinceSnapshotId: "", maxBytes: 1 << 28 });
  await slow.next();
  await sandbox.trees.snapshot(one, "meanwhile");
  await slow.return(undefined);
  expect((await sandbox.diff(one)).files).toBe(1);
});
