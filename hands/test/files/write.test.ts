import { execFileSync } from "node:child_process";
import { chmod, link, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { WriteHeaderSchema, type WriteRequestSchema } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { messages } from "../streams.ts";
import { type FileServiceUnderTest, reasonOf, startFileService, WORKSPACE } from "./service.ts";
import { startSwapper } from "./swapper.ts";

type Part = Exclude<MessageInitShape<typeof WriteRequestSchema>, { $typeName: string }>;

const headerPart = (fields: MessageInitShape<typeof WriteHeaderSchema>): Part => ({
  part: { case: "header", value: create(WriteHeaderSchema, { workspace: WORKSPACE, epoch: 1n, ...fields }) },
});
const dataPart = (value: Uint8Array): Part => ({ part: { case: "data", value } });

/** What lies beside the workspaces until it is renamed in; empty between two calls. */
async function staged({ path }: FileServiceUnderTest): Promise<string[]> {
  return readdir(join(dirname(dirname(path)), ".staging", WORKSPACE));
}

test("a file is created with its parents, of mode 0644 or the one asked for, and leaves nothing behind", async () => {
  const service = await startFileService();
  const { path, write } = service;
  const answer = await write("a/b/c/file", "content");
  expect(answer).toMatchObject({ replayed: false, file: { name: "file", path: `${path}/a/b/c/file`, size: 7n, mode: 0o644 } });
  expect(await readFile(join(path, "a/b/c/file"), "utf8")).toBe("content");
  expect((await stat(join(path, "a/b"))).mode & 0o777).toBe(0o777 & ~process.umask());
  expect((await write("script", "#!/bin/sh", { mode: 0o755 })).file?.mode).toBe(0o755);
  expect(await readdir(path)).toEqual(["a", "script"]);
  expect(await staged(service)).toEqual([]);
});

test("a file that is replaced keeps its mode and its owner, and is another inode", async () => {
  const { path, write } = await startFileService();
  const file = join(path, "file");
  await writeFile(file, "old");
  if (process.geteuid?.() === 0) execFileSync("chown", ["1234:2345", file]);
  await chmod(file, 0o4751);
  const before = await stat(file);
  const answer = await write("file", "new", { mode: 0o600 });
  const after = await stat(file);
  expect(await readFile(file, "utf8")).toBe("new");
  expect([after.mode, after.uid, after.gid]).toEqual([before.mode, before.uid, before.gid]);
  expect(after.ino).not.toBe(before.ino);
  expect(answer.file?.mode).toBe(0o4751);
});

test.runIf(process.geteuid?.() === 0)("what a daemon of root makes belongs to the user of the directory", async () => {
  const { files, path, write, change } = await startFileService();
  execFileSync("chown", ["1234:2345", path]);
  await write("deep/er/file", "x");
  await files.mkdir({ ...change("m"), path: "made/too", recursive: true });
  for (const made of ["deep", "deep/er", "deep/er/file", "made", "made/too"]) {
    const { uid, gid } = await stat(join(path, made));
    expect([made, uid, gid]).toEqual([made, 1234, 2345]);
  }
});

test("a reader sees the old content or the new one, never a mixture", async () => {
  const { path, write } = await startFileService();
  const contents = ["a", "b"].map((letter) => letter.repeat(300_000));
  await write("file", contents[0] ?? "");
  let reading = true;
  const reader = (async () => {
    const seen = new Set<string>();
    while (reading) seen.add(await readFile(join(path, "file"), "utf8"));
    return seen;
  })();
  for (let i = 0; i < 16; i++) await write("file", contents[i % 2] ?? "");
  reading = false;
  for (const content of await reader) expect(contents).toContain(content);
});

test("a symlink is followed and stays, its target is replaced or made", async () => {
  const { path, write } = await startFileService();
  await mkdir(join(path, "a"));
  await symlink("a/target", join(path, "link"));
  await write("link", "one");
  await write("link", "two");
  expect(await readlink(join(path, "link"))).toBe("a/target");
  expect(await readFile(join(path, "a/target"), "utf8")).toBe("two");
});

test("a hard link elsewhere keeps the old content", async () => {
  const { path, write } = await startFileService();
  await writeFile(join(path, "file"), "old");
  await link(join(path, "file"), join(path, "other"));
  await write("file", "new");
  expect(await readFile(join(path, "other"), "utf8")).toBe("old");
});

test("if_match refuses another version, a missing file, and with * an existing one, and nothing changes", async () => {
  const service = await startFileService();
  const { path, read, write } = service;
  const first = (await write("file", "one")).file?.etag ?? "";
  const second = (await write("file", "two", { ifMatch: first })).file?.etag ?? "";
  const refused = await write("file", "three", { ifMatch: first }).catch(fromConnectError);
  expect(refused).toMatchObject({ code: Code.FailedPrecondition, reason: "etag_mismatch", metadata: { etag: second } });
  expect(await reasonOf(() => write("file", "three", { ifMatch: "*" }))).toBe("etag_mismatch");
  expect(await reasonOf(() => write("none/new", "x", { ifMatch: first }))).toBe("etag_mismatch");
  expect(await reasonOf(() => write("new/file", "x", { ifMatch: "*" }))).toBe("ok");
  expect(await reasonOf(() => write("new/other", "x", { ifMatch: "*" }))).toBe("ok");
  expect(await read("file")).toBe("two");
  expect((await readdir(path)).sort()).toEqual(["file", "new"]);
  expect(await staged(service)).toEqual([]);
});

test("of many writers that want to be the first, one is", async () => {
  const { read, write } = await startFileService();
  const reasons = await Promise.all(Array.from({ length: 8 }, (_, i) => reasonOf(() => write("lock", `${i}`, { ifMatch: "*" }))));
  expect(reasons.filter((reason) => reason === "ok")).toHaveLength(1);
  expect(await read("lock")).toBe(String(reasons.indexOf("ok")));
});

test("append adds to a file, keeps its mode, and makes a missing one", async () => {
  const service = await startFileService();
  const { path, read, write } = service;
  await writeFile(join(path, "log"), "one\n", { mode: 0o600 });
  const answer = await write("log", "two\n", { append: true });
  expect(answer.file).toMatchObject({ size: 8n, mode: 0o600 });
  expect(await read("log")).toBe("one\ntwo\n");
  await write("new/log", "first", { append: true });
  expect(await read("new/log")).toBe("first");
  expect(await staged(service)).toEqual([]);
});

test("no append is lost where many happen at once", async () => {
  const { read, write } = await startFileService();
  await Promise.all(Array.from({ length: 30 }, (_, i) => write("log", `${i}\n`, { append: true })));
  const lines = (await read("log")).trimEnd().split("\n").map(Number);
  expect(lines.sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i));
});

test("two files written at once into the same new directory both arrive", async () => {
  const { path, write } = await startFileService();
  await Promise.all(Array.from({ length: 10 }, (_, i) => write(`new/deep/${i}`, `${i}`)));
  expect(await readdir(join(path, "new/deep"))).toHaveLength(10);
});

test("a repeated call gets the first one's answer and changes nothing, with other content it is refused", async () => {
  const { path, read, write } = await startFileService();
  const first = await write("file", "one", { id: "change" });
  await writeFile(join(path, "file"), "by a command");
  const again = await write("file", "one", { id: "change" });
  expect(again).toEqual({ ...first, replayed: true });
  expect(await read("file")).toBe("by a command");
  for (const other of [
    () => write("file", "two", { id: "change" }),
    () => write("other", "one", { id: "change" }),
    () => write("file", "one", { id: "change", append: true }),
    () => write("file", "one", { id: "change", ifMatch: "*" }),
  ]) {
    expect(await other().catch(fromConnectError)).toMatchObject({ code: Code.AlreadyExists, reason: "id_reused" });
  }
});

test("many calls with one id at once change the file once", async () => {
  const { read, write } = await startFileService();
  const answers = await Promise.all(Array.from({ length: 10 }, () => write("file", "x", { id: "change", append: true })));
  expect(await read("file")).toBe("x");
  expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
  expect(new Set(answers.map(({ file }) => file?.etag)).size).toBe(1);
});

test("a call that failed may be made again under its id", async () => {
  const { write } = await startFileService();
  expect(await reasonOf(() => write("file", "one", { id: "change", ifMatch: "none" }))).toBe("etag_mismatch");
  expect(await write("file", "one", { id: "change" })).toMatchObject({ replayed: false });
});

test("a new owner may repeat an old one's call, the old one no longer", async () => {
  const { write } = await startFileService();
  await write("file", "one", { id: "change", epoch: 1n });
  expect(await write("file", "one", { id: "change", epoch: 2n })).toMatchObject({ replayed: true });
  expect(await reasonOf(() => write("file", "one", { id: "change", epoch: 1n }))).toBe("stale_epoch");
  expect(await reasonOf(() => write("file", "two", { id: "other", epoch: 1n }))).toBe("stale_epoch");
});

test("an owner who is replaced in the middle of a call changes nothing", async () => {
  const { files, read, write, workspaces } = await startFileService();
  await write("file", "before");
  async function* slow(): AsyncGenerator<Part> {
    yield headerPart({ changeId: "slow", path: "file" });
    yield dataPart(Buffer.from("af"));
    await workspaces.resolve(WORKSPACE, 2n);
    yield dataPart(Buffer.from("ter"));
  }
  expect(await reasonOf(() => files.write(slow()))).toBe("stale_epoch");
  expect(await read("file")).toBe("before");
});

test("a stream that breaks off writes nothing", async () => {
  const service = await startFileService();
  const { files, read, write, path } = service;
  await write("file", "before");
  async function* broken(): AsyncGenerator<Part> {
    yield headerPart({ changeId: "broken", path: "file" });
    yield dataPart(Buffer.alloc(100_000));
    throw new Error("the client dies");
  }
  await expect(files.write(broken())).rejects.toThrow();
  // The next change is carried out behind whatever the broken one still did.
  await write("other", "x");
  expect(await read("file")).toBe("before");
  expect((await readdir(path)).sort()).toEqual(["file", "other"]);
});

test("a file over the limit is refused while it is sent, an append by what would come out", async () => {
  const service = await startFileService({ limits: { writeBytes: 1000 } });
  const { path, write } = service;
  const error = await write("large", Buffer.alloc(1001)).catch(fromConnectError);
  expect(error).toMatchObject({ code: Code.ResourceExhausted, reason: "file_too_large", metadata: { limit_bytes: "1000" } });
  expect(await reasonOf(() => write("fits", Buffer.alloc(1000)))).toBe("ok");
  expect(await reasonOf(() => write("fits", "x", { append: true }))).toBe("file_too_large");
  expect(await readdir(path)).toEqual(["fits"]);
  expect(await staged(service)).toEqual([]);
});

test("a large file arrives whole", async () => {
  const { files, path } = await startFileService();
  const piece = Buffer.alloc(1024 * 1024, "0123456789abcdef");
  const pieces = Array.from({ length: 20 }, () => dataPart(piece));
  const { file } = await files.write(messages(headerPart({ changeId: "large", path: "large" }), ...pieces));
  expect(file?.size).toBe(20n * 1024n * 1024n);
  expect((await readFile(join(path, "large"))).equals(Buffer.concat(pieces.map(() => piece)))).toBe(true);
});

test("a stream without its header first, with two, or with a piece that is too large, is refused", async () => {
  const { files } = await startFileService();
  const header = headerPart({ changeId: "c", path: "file" });
  const large = dataPart(Buffer.alloc(1024 * 1024 + 1));
  const nothing: Part = { part: { case: undefined } };
  for (const stream of [[], [dataPart(Buffer.from("x")), header], [header, header], [header, large], [nothing]]) {
    expect(await reasonOf(() => files.write(messages(...stream)))).toBe("invalid_argument");
  }
});

test("directories, special files and places outside are not written", async () => {
  const { path, write } = await startFileService();
  await mkdir(join(path, "directory"));
  execFileSync("mkfifo", [join(path, "fifo")]);
  await symlink("..", join(path, "out"));
  await writeFile(join(path, "file"), "");
  expect(await reasonOf(() => write("directory", "x"))).toBe("is_directory");
  expect(await reasonOf(() => write(".", "x"))).toBe("is_directory");
  expect(await reasonOf(() => write("fifo", "x"))).toBe("not_a_file");
  expect(await reasonOf(() => write("file/below", "x"))).toBe("not_directory");
  expect(await reasonOf(() => write("out/file", "x"))).toBe("path_outside");
  expect(await reasonOf(() => write("../file", "x"))).toBe("path_outside");
  expect(await readdir(dirname(path))).toEqual(["one"]);
});

test("nothing is ever written outside while a process swaps symlinks into the path", async () => {
  const { path, files, write, change } = await startFileService();
  const outside = join(dirname(dirname(path)), "outside");
  await startSwapper(path, outside);
  const calls: Array<(i: number) => Promise<unknown>> = [
    (i) => write("directory/file", "written", { id: `a${i}` }),
    (i) => write("inner/file", "written", { id: `b${i}`, append: i % 2 === 0 }),
    (i) => write(`directory/new/${i}`, "written", { id: `c${i}` }),
    (i) => files.mkdir({ ...change(`d${i}`), path: `directory/made${i}` }),
    (i) => files.edit({ ...change(`e${i}`), path: "inner/file", edits: [{ oldText: "written", newText: "edited" }] }),
    (i) => files.remove({ ...change(`f${i}`), path: "directory/file" }),
    (i) =>
      write("source", "moved", { id: `g${i}` }).then(() =>
        files.move({ ...change(`h${i}`), source: "source", destination: "directory/moved" }),
      ),
  ];
  const reasons = new Set<string>();
  for (let i = 0; i < 12; i++) {
    for (const call of calls) reasons.add(await reasonOf(() => call(i)));
  }
  expect(await readdir(outside)).toEqual(["file"]);
  expect(await readFile(join(outside, "file"), "utf8")).toBe("outside");
  expect(reasons).toContain("ok");
  expect(reasons).not.toContain("internal");
});
