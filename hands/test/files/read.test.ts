import { execFileSync } from "node:child_process";
import { appendFile, mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { FileKind } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { collect } from "../streams.ts";
import { reasonOf, startFileService, WORKSPACE } from "./service.ts";

test("stat describes a file, a directory and a symlink, which is followed only when asked", async () => {
  const { files, path } = await startFileService();
  await mkdir(join(path, "a"));
  await writeFile(join(path, "a/file"), "12345", { mode: 0o640 });
  await symlink("a/file", join(path, "link"));
  const stat = async (name: string, follow = false) => (await files.stat({ workspace: WORKSPACE, path: name, follow })).file;
  expect(await stat("a/file")).toMatchObject({ name: "file", path: `${path}/a/file`, kind: FileKind.FILE, size: 5n, mode: 0o640 });
  expect(await stat("a")).toMatchObject({ name: "a", kind: FileKind.DIRECTORY, etag: "" });
  expect(await stat("link")).toMatchObject({ path: `${path}/link`, kind: FileKind.SYMLINK, etag: "" });
  expect(await stat("link", true)).toMatchObject({ name: "file", path: `${path}/a/file`, kind: FileKind.FILE });
  expect(await stat(".")).toMatchObject({ name: "one", path, kind: FileKind.DIRECTORY });
});

test("a file is read whole, from an offset, and up to a length", async () => {
  const { read, write } = await startFileService();
  await write("file", "0123456789");
  expect(await read("file")).toBe("0123456789");
  expect(await read("file", { offset: 3n })).toBe("3456789");
  expect(await read("file", { offset: 3n, length: 4n })).toBe("3456");
  expect(await read("file", { offset: 8n, length: 100n })).toBe("89");
  expect(await read("file", { offset: 100n })).toBe("");
});

test("the first message describes the file, also an empty one, and no piece is larger than 256 KiB", async () => {
  const { files, path } = await startFileService();
  const content = Buffer.alloc(1_000_000, "abcdefg");
  await writeFile(join(path, "large"), content);
  await writeFile(join(path, "empty"), "");
  const large = await collect(files.read({ workspace: WORKSPACE, path: "large" }));
  expect(large.map(({ file }) => file?.size)).toEqual([1_000_000n, undefined, undefined, undefined]);
  expect(Math.max(...large.map(({ data }) => data.length))).toBe(256 * 1024);
  expect(Buffer.concat(large.map(({ data }) => data)).equals(content)).toBe(true);
  const empty = await collect(files.read({ workspace: WORKSPACE, path: "empty" }));
  expect(empty).toMatchObject([{ file: { name: "empty", size: 0n }, data: new Uint8Array() }]);
});

test("a file that grows or shrinks while it is read ends the stream all the same", async () => {
  const { files, path } = await startFileService();
  const size = 3 * 1024 * 1024;
  for (const change of ["grow", "shrink"]) {
    const file = join(path, change);
    await writeFile(file, Buffer.alloc(size));
    let bytes = 0;
    let first = true;
    for await (const { data } of files.read({ workspace: WORKSPACE, path: change })) {
      if (first) await (change === "grow" ? appendFile(file, Buffer.alloc(size)) : truncate(file, 10));
      first = false;
      bytes += data.length;
    }
    expect(bytes).toBeLessThanOrEqual(size);
  }
});

test("the ETag changes with the content and holds a read to one version", async () => {
  const { files, path, read, write } = await startFileService();
  const first = (await write("file", "one")).file?.etag ?? "";
  expect((await files.stat({ workspace: WORKSPACE, path: "file" })).file?.etag).toBe(first);
  expect(await read("file", { ifMatch: first })).toBe("one");
  const second = (await write("file", "two")).file?.etag ?? "";
  await appendFile(join(path, "file"), "!");
  const third = (await files.stat({ workspace: WORKSPACE, path: "file" })).file?.etag;
  expect(new Set([first, second, third]).size).toBe(3);
  expect(await reasonOf(() => read("file", { ifMatch: first }))).toBe("etag_mismatch");
});

test("a read that is held to one version fails where the file changes under it", async () => {
  const { files, path } = await startFileService();
  await writeFile(join(path, "file"), Buffer.alloc(8 * 1024 * 1024));
  const etag = (await files.stat({ workspace: WORKSPACE, path: "file" })).file?.etag ?? "";
  const interfered = async (): Promise<void> => {
    for await (const { file } of files.read({ workspace: WORKSPACE, path: "file", ifMatch: etag })) {
      if (file !== undefined) await appendFile(join(path, "file"), "more");
    }
  };
  expect(await reasonOf(interfered)).toBe("etag_mismatch");
});

test("what is not a regular file is refused, and never waited for", async () => {
  const { path, read, spill } = await startFileService();
  execFileSync("mkfifo", [join(path, "fifo")]);
  const socket = createServer().listen(join(path, "socket"));
  onTestFinished(() => void socket.close());
  await mkdir(join(path, "directory"));
  await symlink("/dev/zero", join(path, "device"));
  expect(await reasonOf(() => read("fifo"))).toBe("not_a_file");
  expect(await reasonOf(() => read("socket"))).toBe("not_a_file");
  expect(await reasonOf(() => read("directory"))).toBe("is_directory");
  expect(await reasonOf(() => read("device"))).toBe("path_outside");
  expect(await reasonOf(() => read("nothing"))).toBe("not_found");
  expect(await reasonOf(() => read("directory/nothing/more"))).toBe("not_found");
  expect(await reasonOf(() => read(join(spill, "nothing")))).toBe("not_found");
});

test("whole outputs of execs can be read by the path that an exec names, and not be changed", async () => {
  const { files, read, write, change, spill } = await startFileService();
  await mkdir(spill, { recursive: true });
  await writeFile(join(spill, "exec.log"), "all of it");
  const path = join(spill, "exec.log");
  expect(await read(path)).toBe("all of it");
  expect((await files.stat({ workspace: WORKSPACE, path })).file?.path).toBe(path);
  expect(await reasonOf(() => write(path, "x"))).toBe("path_outside");
  expect(await reasonOf(() => files.remove({ ...change("r"), path }))).toBe("path_outside");
  expect(await reasonOf(() => read(`${spill}/../other/exec.log`))).toBe("path_outside");
});

test("an unknown workspace is told apart from an unknown file", async () => {
  const { files } = await startFileService();
  expect(await reasonOf(() => files.stat({ workspace: "acme/none", path: "file" }))).toBe("unknown_workspace");
  expect(await reasonOf(() => files.stat({ workspace: WORKSPACE, path: "file" }))).toBe("not_found");
});

test("a directory is listed sorted by the bytes of its names, in pages of which none repeats or hides a name", async () => {
  const { files, path } = await startFileService();
  const names = ["b", "a", "Z", "é", "~", "\u{1f600}", "\uffee", ".hidden", "a.b", "a-b"];
  for (const name of names) await writeFile(join(path, name), name);
  const sorted = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const whole = await files.list({ workspace: WORKSPACE });
  expect(whole.files.map(({ name }) => name)).toEqual(sorted);
  expect(whole.nextPageToken).toBe("");
  const paged: string[] = [];
  let pageToken = "";
  do {
    const page = await files.list({ workspace: WORKSPACE, path: ".", pageSize: 3, pageToken });
    paged.push(...page.files.map(({ name }) => name));
    pageToken = page.nextPageToken;
    // What comes and goes between two pages moves nothing else.
    await writeFile(join(path, "0-new"), "");
  } while (pageToken !== "");
  expect(paged).toEqual(sorted);
});

test("a listing shows symlinks as such, special files, and names that are not UTF-8", async () => {
  const { files, path } = await startFileService();
  await symlink("/etc", join(path, "link"));
  execFileSync("mkfifo", [join(path, "fifo")]);
  await writeFile(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0x66, 0xff])]), "x");
  const { files: listed } = await files.list({ workspace: WORKSPACE, path });
  expect(listed.map(({ name, kind }) => [name, kind])).toEqual([
    ["fifo", FileKind.UNSPECIFIED],
    ["f\\xff", FileKind.FILE],
    ["link", FileKind.SYMLINK],
  ]);
});

test("a listing of what is no directory, and a made-up page token, are refused", async () => {
  const { files, write } = await startFileService();
  await write("file", "x");
  expect(await reasonOf(() => files.list({ workspace: WORKSPACE, path: "file" }))).toBe("not_directory");
  expect(await reasonOf(() => files.list({ workspace: WORKSPACE, path: "none" }))).toBe("not_found");
  expect(await reasonOf(() => files.list({ workspace: WORKSPACE, pageToken: "***" }))).toBe("invalid_argument");
});
