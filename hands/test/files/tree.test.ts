import { execFileSync } from "node:child_process";
import { chmod, link, lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { type FileServiceUnderTest, reasonOf, startFileService, WORKSPACE } from "./service.ts";

let next = 0;

/** Changing calls with ids of their own. */
function calls({ files, change }: FileServiceUnderTest) {
  return {
    mkdir: (path: string, recursive = false, id = `id-${next++}`) => files.mkdir({ ...change(id), path, recursive }),
    move: (source: string, destination: string, id = `id-${next++}`) => files.move({ ...change(id), source, destination }),
    remove: (path: string, options: { recursive?: boolean; missingOk?: boolean } = {}, id = `id-${next++}`) =>
      files.remove({ ...change(id), path, ...options }),
  };
}

async function staged(path: string): Promise<string[]> {
  return readdir(join(dirname(dirname(path)), ".staging", WORKSPACE));
}

test("mkdir makes one directory, with recursive its parents as well", async () => {
  const service = await startFileService();
  const { mkdir: make } = calls(service);
  await make("a");
  await make("b/c/d", true);
  expect((await stat(join(service.path, "b/c/d"))).isDirectory()).toBe(true);
  expect((await stat(join(service.path, "a"))).mode & 0o777).toBe(0o777 & ~process.umask());
  expect(await staged(service.path)).toEqual([]);
});

test("mkdir refuses what exists and what has no parent, unless it is recursive", async () => {
  const service = await startFileService();
  const { mkdir: make } = calls(service);
  await make("a");
  await writeFile(join(service.path, "file"), "");
  await symlink("nowhere", join(service.path, "dangling"));
  expect(await reasonOf(() => make("a"))).toBe("already_exists");
  expect(await reasonOf(() => make("file"))).toBe("already_exists");
  expect(await reasonOf(() => make("dangling"))).toBe("already_exists");
  expect(await reasonOf(() => make("x/y"))).toBe("not_found");
  expect(await reasonOf(() => make("file/y", true))).toBe("not_directory");
  expect(await reasonOf(() => make("file", true))).toBe("not_directory");
  expect(await reasonOf(() => make("a", true))).toBe("ok");
  expect(await reasonOf(() => make(".", true))).toBe("ok");
  expect(await reasonOf(() => make("../x", true))).toBe("path_outside");
});

test("directories made at once by many calls keep what is in them", async () => {
  const service = await startFileService();
  const { mkdir: make } = calls(service);
  await Promise.all(Array.from({ length: 8 }, (_, i) => make(`shared/${i % 2}/${i}`, true)));
  expect(await readdir(join(service.path, "shared/0"))).toEqual(["0", "2", "4", "6"]);
  expect(await readdir(join(service.path, "shared/1"))).toEqual(["1", "3", "5", "7"]);
});

test("move renames files, directories and symlinks, and replaces a file", async () => {
  const service = await startFileService();
  const { path } = service;
  const { move } = calls(service);
  await mkdir(join(path, "directory"));
  await writeFile(join(path, "directory/file"), "new");
  await writeFile(join(path, "old"), "old");
  await symlink("old", join(path, "link"));
  await move("directory/file", "old");
  await move("directory", "renamed");
  await move("link", "renamed/link");
  expect(await readFile(join(path, "old"), "utf8")).toBe("new");
  expect(await readlink(join(path, "renamed/link"))).toBe("old");
  expect((await readdir(path)).sort()).toEqual(["old", "renamed"]);
});

test("move replaces a symlink itself and not what it leads to", async () => {
  const service = await startFileService();
  const { path } = service;
  await writeFile(join(path, "target"), "target");
  await symlink("target", join(path, "link"));
  await writeFile(join(path, "file"), "file");
  await calls(service).move("file", "link");
  expect(await readFile(join(path, "target"), "utf8")).toBe("target");
  expect((await lstat(join(path, "link"))).isFile()).toBe(true);
});

test("move refuses directories in the way, missing places, itself and the workspace", async () => {
  const service = await startFileService();
  const { path } = service;
  const { move } = calls(service);
  await mkdir(join(path, "a/b"), { recursive: true });
  await mkdir(join(path, "empty"));
  await writeFile(join(path, "file"), "");
  expect(await reasonOf(() => move("file", "a"))).toBe("is_directory");
  expect(await reasonOf(() => move("a", "empty"))).toBe("is_directory");
  expect(await reasonOf(() => move("a", "file"))).toBe("not_directory");
  expect(await reasonOf(() => move("none", "x"))).toBe("not_found");
  expect(await reasonOf(() => move("file", "none/x"))).toBe("not_found");
  expect(await reasonOf(() => move("a", "a/b/c"))).toBe("inside_itself");
  expect(await reasonOf(() => move(".", "x"))).toBe("path_outside");
  expect(await reasonOf(() => move("file", "."))).toBe("is_directory");
  expect(await reasonOf(() => move("file", "../file"))).toBe("path_outside");
  expect(await reasonOf(() => move("../../state", "stolen"))).toBe("path_outside");
  expect((await readdir(path)).sort()).toEqual(["a", "empty", "file"]);
});

test("move to the same place changes nothing, and to another link of the same file leaves one", async () => {
  const service = await startFileService();
  const { path } = service;
  const { move } = calls(service);
  await writeFile(join(path, "file"), "x");
  await link(join(path, "file"), join(path, "other"));
  await move("file", "./file");
  expect((await readdir(path)).sort()).toEqual(["file", "other"]);
  await move("file", "other");
  expect(await readdir(path)).toEqual(["other"]);
});

test("remove deletes a file, a symlink but not its target, and an empty directory", async () => {
  const service = await startFileService();
  const { path } = service;
  const { remove } = calls(service);
  await writeFile(join(path, "file"), "");
  await mkdir(join(path, "empty"));
  await symlink("file", join(path, "link"));
  await remove("link");
  expect((await readdir(path)).sort()).toEqual(["empty", "file"]);
  await remove("file");
  await remove("empty");
  expect(await readdir(path)).toEqual([]);
  expect(await staged(path)).toEqual([]);
});

test("remove takes a tree only where it is told to, follows no symlink in it, and stops at no write protection", async () => {
  const service = await startFileService();
  const { path } = service;
  const { remove } = calls(service);
  const outside = join(dirname(dirname(path)), "outside");
  await mkdir(outside);
  await writeFile(join(outside, "file"), "stays");
  await mkdir(join(path, "tree/locked"), { recursive: true });
  await writeFile(join(path, "tree/locked/file"), "");
  await symlink(outside, join(path, "tree/link"));
  await writeFile(Buffer.concat([Buffer.from(`${path}/tree/`), Buffer.from([0xff])]), "");
  await chmod(join(path, "tree/locked"), 0o500);
  expect(await reasonOf(() => remove("tree"))).toBe("not_empty");
  await remove("tree", { recursive: true });
  expect(await readdir(path)).toEqual([]);
  expect(await readdir(outside)).toEqual(["file"]);
  expect(await staged(path)).toEqual([]);
});

test("remove refuses what is missing unless that is fine, and never takes the workspace", async () => {
  const service = await startFileService();
  const { remove } = calls(service);
  expect(await reasonOf(() => remove("none"))).toBe("not_found");
  expect(await reasonOf(() => remove("none", { missingOk: true }))).toBe("ok");
  expect(await reasonOf(() => remove("none/below", { missingOk: true }))).toBe("ok");
  for (const path of [".", service.path, "a/..", "./"]) {
    expect(await reasonOf(() => remove(path, { recursive: true }))).toMatch(/^(path_outside|not_found)$/);
  }
  expect(await readdir(service.path)).toEqual([]);
});

test("repeated calls are answered and not carried out, also where they changed nothing the first time", async () => {
  const service = await startFileService();
  const { path, files, change } = service;
  const { mkdir: make, move, remove } = calls(service);
  await make("a", true, "m1");
  await make("a", true, "m2");
  await writeFile(join(path, "file"), "");
  await move("file", "moved", "v");
  await remove("none", { missingOk: true }, "r");
  execFileSync("sh", ["-c", "rmdir a; echo again > file; echo x > none"], { cwd: path });
  for (const repeated of [
    () => make("a", true, "m1"),
    () => make("a", true, "m2"),
    () => move("file", "moved", "v"),
    () => remove("none", { missingOk: true }, "r"),
  ]) {
    expect(await repeated()).toMatchObject({ replayed: true });
  }
  expect((await readdir(path)).sort()).toEqual(["file", "moved", "none"]);
  expect(await reasonOf(() => files.remove({ ...change("m1"), path: "a" }))).toBe("id_reused");
  expect(await reasonOf(() => move("file", "elsewhere", "v"))).toBe("id_reused");
});
