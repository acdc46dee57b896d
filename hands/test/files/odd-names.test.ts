import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathBytes, shownBytes, shownPath } from "@serverless-harness/kit/paths/shown-name";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type FileServiceUnderTest, reasonOf, startFileService, WORKSPACE } from "./service.ts";
import { startWatching } from "./watching.ts";

/** A path in the workspace, given by its bytes as characters 0 to 255 each. */
const at = ({ path }: FileServiceUnderTest, bytes: string): Buffer => Buffer.from(`${path}/${bytes}`, "latin1");

/** Names of what is in a directory of the workspace, each byte as one character, sorted. */
const inside = (service: FileServiceUnderTest, bytes: string): string[] => readdirSync(at(service, bytes), { encoding: "latin1" }).sort();

/** Files by their bytes: Latin-1, a cut character, what looks like an escape, a whole character beside a byte that is none. */
const FILES: Readonly<Record<string, string>> = {
  "caf\xe9.txt": "needle in latin\n",
  "dir\xff/cut\xe2\x82": "needle below\n",
  "dir\xff/plain": "needle plain\n",
  "fake\\xe9.txt": "needle in text\n",
  "ok\xc3\xa9\x80": "needle mixed\n",
};

/** The same, as they are shown. */
const SHOWN = ["caf\\xe9.txt", "dir\\xff/cut\\xe2\\x82", "dir\\xff/plain", "fake\\x5cxe9.txt", "oké\\x80"];

async function startWithFiles(options: Parameters<typeof startFileService>[0] = {}): Promise<FileServiceUnderTest> {
  const service = await startFileService(options);
  for (const [bytes, text] of Object.entries(FILES)) {
    mkdirSync(at(service, dirname(bytes)), { recursive: true });
    writeFileSync(at(service, bytes), text);
  }
  return service;
}

/** Pieces of which names are made that are hard to tell apart. */
const name = fc
  .array(
    fc.oneof(fc.constantFrom("\\", "x", "\\x", "5c", "\\x5c", "ff", "\\xff", "\\xFF", "é", "€", "😀", "\ufffd", "\ufeff"), fc.uint8Array()),
    {
      maxLength: 8,
    },
  )
  .map((parts) => Buffer.concat(parts.map((part) => Buffer.from(part as string))));

test("every name is shown as a text of its own that leads back to its bytes, and text that looks like no escape as it is", () => {
  fc.assert(
    fc.property(name, (bytes) => {
      const shown = shownBytes(bytes);
      expect(shown.isWellFormed()).toBe(true);
      expect(Buffer.from(pathBytes(shown)).equals(bytes)).toBe(true);
      expect(shownPath(shown)).toBe(shown);
    }),
    { numRuns: 2000 },
  );
  for (const plain of ["a\\b", "\\x41", "\\n", "\\x", "naïve"]) expect(shownBytes(Buffer.from(plain))).toBe(plain);
});

test("a listing and find show names that are not UTF-8, in the order of their bytes", async () => {
  const service = await startWithFiles();
  const { files } = service;
  const top = ["caf\\xe9.txt", "dir\\xff", "fake\\x5cxe9.txt", "oké\\x80"];
  expect((await files.list({ workspace: WORKSPACE })).files.map(({ name }) => name)).toEqual(top);
  expect((await files.list({ workspace: WORKSPACE, path: "dir\\xff" })).files.map(({ path }) => path)).toEqual([
    `${service.path}/dir\\xff/cut\\xe2\\x82`,
    `${service.path}/dir\\xff/plain`,
  ]);
  const found = await files.find({ workspace: WORKSPACE, glob: "**" });
  expect(found.paths).toEqual([...SHOWN, "dir\\xff/"].sort());
});

test("a glob takes a byte that is not UTF-8 for one character, by its escape too", async () => {
  const { files } = await startWithFiles();
  const find = async (glob: string) => (await files.find({ workspace: WORKSPACE, glob })).paths;
  expect(await find("caf?.txt")).toEqual(["caf\\xe9.txt"]);
  expect(await find("caf\\xe9*")).toEqual(["caf\\xe9.txt"]);
  expect(await find("caf\\xE9.txt")).toEqual(["caf\\xe9.txt"]);
  expect(await find("oké?")).toEqual(["oké\\x80"]);
  expect(await find("fake\\x5cxe9.*")).toEqual(["fake\\x5cxe9.txt"]);
  expect(await find("fake\\\\xe9.*")).toEqual(["fake\\x5cxe9.txt"]);
  expect(await find("dir\\xff/*")).toEqual(["dir\\xff/cut\\xe2\\x82", "dir\\xff/plain"]);
});

test("a .gitignore leaves out by bytes what git would", async () => {
  const service = await startWithFiles();
  writeFileSync(at(service, ".gitignore"), Buffer.from("caf\xe9.*\ndir?/plain\n", "latin1"));
  execFileSync("git", ["init", "-q"], { cwd: service.path });
  const found = (await service.files.find({ workspace: WORKSPACE, glob: "**" })).paths;
  const kept = execFileSync("git", ["ls-files", "-z", "--others", "--exclude-standard"], { cwd: service.path, encoding: "buffer" });
  const byGit = kept.toString("latin1").split("\0").slice(0, -1);
  expect(found.filter((path) => !path.endsWith("/"))).toEqual(byGit.map((path) => shownBytes(Buffer.from(path, "latin1"))).sort());
});

test("grep looks into files whose names are not UTF-8, below directories and by their own path", async () => {
  const { files } = await startWithFiles();
  const { lines } = await files.grep({ workspace: WORKSPACE, pattern: "needle" });
  expect(lines.map(({ path }) => path)).toEqual(SHOWN);
  const below = await files.grep({ workspace: WORKSPACE, pattern: "needle", path: "dir\\xff", glob: "cut*" });
  expect(below.lines.map(({ path, text }) => [path, text])).toEqual([["dir\\xff/cut\\xe2\\x82", "needle below"]]);
  const one = await files.grep({ workspace: WORKSPACE, pattern: "needle", path: "caf\\xe9.txt" });
  expect(one.lines.map(({ path }) => path)).toEqual(["caf\\xe9.txt"]);
});

test("what is shown can be read, described, written and edited by it", async () => {
  const service = await startWithFiles();
  const { files, read, write, change } = service;
  for (const [index, shown] of SHOWN.entries()) expect(await read(shown), shown).toBe(Object.values(FILES)[index]);
  const { file } = await files.stat({ workspace: WORKSPACE, path: "caf\\xe9.txt" });
  expect(file).toMatchObject({ name: "caf\\xe9.txt", path: `${service.path}/caf\\xe9.txt` });
  expect(await read(file?.path ?? "")).toBe(FILES["caf\xe9.txt"]);
  await write("caf\\xe9.txt", "one\n", { ifMatch: file?.etag ?? "" });
  const edited = await files.edit({ ...change("e"), path: "caf\\xe9.txt", edits: [{ oldText: "one", newText: "two" }] });
  expect(edited.patch).toContain("caf\\xe9.txt");
  expect(readFileSync(at(service, "caf\xe9.txt"), "latin1")).toBe("two\n");
  expect(inside(service, "")).toEqual(["caf\xe9.txt", "dir\xff", "fake\\xe9.txt", "ok\xc3\xa9\x80"]);
});

test("new files and directories get the bytes that their escapes stand for, parents too", async () => {
  const service = await startFileService();
  await service.write("a\\xff/b\\xfe/new\\xfd", "new");
  await service.files.mkdir({ ...service.change("m"), path: "c\\xff/d\\xff", recursive: true });
  expect(readFileSync(at(service, "a\xff/b\xfe/new\xfd"), "latin1")).toBe("new");
  expect(inside(service, "c\xff")).toEqual(["d\xff"]);
  await service.write("\\xc3\\xa9", "whole");
  expect(readFileSync(join(service.path, "é"), "utf8")).toBe("whole");
});

test("Move and Remove take what is shown, and touch nothing of a like name", async () => {
  const service = await startWithFiles();
  const { files, change } = service;
  await files.move({ ...change("m1"), source: "caf\\xe9.txt", destination: "fake\\xe8" });
  await files.move({ ...change("m2"), source: "dir\\xff", destination: "dir\\xfe" });
  await files.remove({ ...change("r1"), path: "fake\\x5cxe9.txt" });
  await files.remove({ ...change("r2"), path: "dir\\xfe/cut\\xe2\\x82" });
  expect(inside(service, "")).toEqual(["dir\xfe", "fake\xe8", "ok\xc3\xa9\x80"]);
  expect(inside(service, "dir\xfe")).toEqual(["plain"]);
  await files.remove({ ...change("r3"), path: "dir\\xfe", recursive: true });
  expect(existsSync(at(service, "dir\xfe"))).toBe(false);
});

test("another spelling of a name is the same name, and moving a file to it loses nothing", async () => {
  const service = await startWithFiles();
  const { files, change, read } = service;
  for (const [index, destination] of ["caf\\xE9.txt", "ok\\xc3\\xa9\\x80"].entries()) {
    const source = SHOWN[index * 4] ?? "";
    await files.move({ ...change(`m${index}`), source, destination });
    expect(await read(destination)).toBe(await read(source));
    const { file } = await files.stat({ workspace: WORKSPACE, path: destination });
    expect(file?.name).toBe(source);
  }
});

test("a batch takes such names in each of its operations", async () => {
  const service = await startWithFiles();
  const { results } = await service.files.batch({
    workspace: WORKSPACE,
    epoch: 1n,
    operations: [
      { operation: { case: "stat", value: { path: "caf\\xe9.txt" } } },
      { operation: { case: "read", value: { path: "dir\\xff/plain" } } },
      { operation: { case: "write", value: { header: { changeId: "1", path: "dir\\xff/new\\x80" }, data: Buffer.from("n") } } },
      { operation: { case: "move", value: { changeId: "2", source: "dir\\xff/new\\x80", destination: "dir\\xff/moved\\x80" } } },
      { operation: { case: "list", value: { path: "dir\\xff" } } },
      { operation: { case: "remove", value: { changeId: "3", path: "dir\\xff", recursive: true } } },
    ],
  });
  expect(results.map(({ result }) => result.case)).toEqual(["stat", "read", "write", "move", "list", "remove"]);
  expect(results[4]?.result.value).toMatchObject({ files: [{ name: "cut\\xe2\\x82" }, { name: "moved\\x80" }, { name: "plain" }] });
  expect(inside(service, "")).toEqual(["caf\xe9.txt", "fake\\xe9.txt", "ok\xc3\xa9\x80"]);
});

describe.each([0, 50])("Watch, looking every %d ms", (pollIntervalMs) => {
  test("tells such names as List shows them, leaves out by their bytes, and can be set on them", async () => {
    const service = await startWithFiles();
    const watching = await startWatching(service.files, { path: "dir\\xff", pollIntervalMs, exclude: ["left?"] }, []);
    writeFileSync(at(service, "dir\xff/left\xff"), "");
    writeFileSync(at(service, "dir\xff/new\xff"), "");
    mkdirSync(at(service, "dir\xff/sub\xfe"));
    await watching.until(() => watching.told.length >= 3);
    expect(watching.told.slice(1).sort()).toEqual(["+dir\\xff/new\\xff", "+dir\\xff/sub\\xfe"]);
  });
});

test("a link's target is taken as bytes, and an escape leads no further than its text", async () => {
  const service = await startWithFiles();
  symlinkSync(Buffer.from("dir\xff/plain", "latin1"), at(service, "link"));
  symlinkSync("fake\\xe9.txt", at(service, "lookalike"));
  expect(await service.read("link")).toBe("needle plain\n");
  expect(await service.read("lookalike")).toBe("needle in text\n");
  const { file } = await service.files.stat({ workspace: WORKSPACE, path: "link", follow: true });
  expect(file?.path).toBe(`${service.path}/dir\\xff/plain`);
  for (const path of ["\\x2e\\x2e/outside", "dir\\xff\\x2f..\\x2f..\\x2foutside", "\\x00"])
    expect(await reasonOf(() => service.files.stat({ workspace: WORKSPACE, path })), path).toBe("not_found");
});

test("a name may be as long in bytes as the system allows, however long it is when shown", async () => {
  const service = await startFileService();
  await service.write("\\xff".repeat(255), "long");
  expect(inside(service, "")).toEqual(["\xff".repeat(255)]);
  expect(await reasonOf(() => service.read("\\xff".repeat(256)))).toBe("invalid_argument");
});
