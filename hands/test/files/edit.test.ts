import { execFileSync } from "node:child_process";
import { link, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { expect, test } from "vitest";
import { type FileServiceUnderTest, reasonOf, startFileService, WORKSPACE } from "./service.ts";

let next = 0;

function edit(
  { files }: FileServiceUnderTest,
  path: string,
  edits: Array<[string, string]>,
  options: { id?: string; ifMatch?: string } = {},
) {
  const { id = `edit-${next++}`, ifMatch = "" } = options;
  const replacements = edits.map(([oldText, newText]) => ({ oldText, newText }));
  return files.edit({ changeId: id, workspace: WORKSPACE, epoch: 1n, path, edits: replacements, ifMatch });
}

test("an edit replaces its text and tells the change as a patch that other programs apply", async () => {
  const service = await startFileService();
  const { path } = service;
  const before = Array.from({ length: 20 }, (_, i) => `line ${i + 1}\n`).join("");
  await writeFile(join(path, "file"), before);
  const answer = await edit(service, "file", [
    ["line 17\n", ""],
    ["line 5", "LINE FIVE\nand more"],
  ]);
  const after = await readFile(join(path, "file"), "utf8");
  expect(after).toBe(before.replace("line 17\n", "").replace("line 5", "LINE FIVE\nand more"));
  expect(answer).toMatchObject({ firstChangedLine: 5n, replayed: false, file: { size: BigInt(after.length) } });
  await writeFile(join(path, "file"), before);
  execFileSync("patch", ["-p1", "--quiet"], { cwd: path, input: answer.patch });
  expect(await readFile(join(path, "file"), "utf8")).toBe(after);
});

test("a missing, an ambiguous and an overlapping text are refused by their index, and nothing changes", async () => {
  const service = await startFileService();
  await service.write("file", "one two one three");
  const cases: Array<[Array<[string, string]>, string, string]> = [
    [
      [
        ["two", "2"],
        ["four", "4"],
      ],
      "no_match",
      "1",
    ],
    [[["one", "1"]], "ambiguous_match", "0"],
    [
      [
        ["two one", "x"],
        ["one three", "y"],
      ],
      "overlapping_edits",
      "1",
    ],
  ];
  for (const [edits, reason, index] of cases) {
    const error = await edit(service, "file", edits).catch(fromConnectError);
    expect(error).toMatchObject({ code: Code.FailedPrecondition, reason, metadata: { edit: index } });
  }
  expect(await service.read("file")).toBe("one two one three");
  expect(await readdir(service.path)).toEqual(["file"]);
});

test("an edit of nothing, with nothing, or into the same, lists every bad field", async () => {
  const service = await startFileService();
  await service.write("file", "text");
  const none = await edit(service, "file", []).catch(fromConnectError);
  expect(none).toMatchObject({ reason: "invalid_argument", violations: [{ field: "edits" }] });
  const bad = await edit(service, "file", [
    ["", "x"],
    ["text", "text"],
  ]).catch(fromConnectError);
  expect(bad).toMatchObject({ violations: [{ field: "edits[0].old_text" }, { field: "edits[1].new_text" }] });
});

test("only UTF-8 text of a bounded size is edited, and only regular files that are there", async () => {
  const service = await startFileService({ limits: { editBytes: 100 } });
  const { path } = service;
  await writeFile(join(path, "latin1"), Buffer.from([0x61, 0xe9, 0x62]));
  await writeFile(join(path, "large"), "x".repeat(101));
  await writeFile(join(path, "small"), "x");
  await mkdir(join(path, "directory"));
  execFileSync("mkfifo", [join(path, "fifo")]);
  const results = ["latin1", "large", "directory", "fifo", "nothing", "../out"].map((name) =>
    reasonOf(() => edit(service, name, [["a", "b"]])),
  );
  expect(await Promise.all(results)).toEqual(["not_text", "file_too_large", "is_directory", "not_a_file", "not_found", "path_outside"]);
  expect(await reasonOf(() => edit(service, "small", [["x", "y".repeat(200)]]))).toBe("file_too_large");
  expect(await readdir(join(dirname(dirname(path)), ".staging", WORKSPACE))).toEqual([]);
});

test("an edit keeps mode, symlink and byte order mark", async () => {
  const service = await startFileService();
  const { path } = service;
  await writeFile(join(path, "file"), "\ufefffirst\n", { mode: 0o755 });
  await symlink("file", join(path, "link"));
  const answer = await edit(service, "link", [["first", "second"]]);
  expect(answer.file?.mode).toBe(0o755);
  expect(await readFile(join(path, "file"), "utf8")).toBe("\ufeffsecond\n");
});

test("an edit keeps the endings of lines that it does not change, also in a file of mixed ones", async () => {
  const service = await startFileService();
  const file = join(service.path, "mixed");
  const before = "a\r\nb\nc\r\nd\ne\r\nf\r\n";
  await writeFile(file, before);
  await edit(service, "mixed", [["a\nb\nc\nd\ne\n", "A\nb\nc\nnew\nd\nE\n"]]);
  expect(await readFile(file, "utf8")).toBe("A\r\nb\nc\r\nnew\r\nd\nE\r\nf\r\n");
});

test("an edit and a write of a file with other names say that those keep the old content", async () => {
  const service = await startFileService();
  const { path } = service;
  await writeFile(join(path, "file"), "old\n");
  await link(join(path, "file"), join(path, "other"));
  expect(await edit(service, "file", [["old", "new"]], { id: "linked" })).toMatchObject({ partedLinks: 1 });
  expect(await readFile(join(path, "other"), "utf8")).toBe("old\n");
  expect(await edit(service, "file", [["old", "new"]], { id: "linked" })).toMatchObject({ partedLinks: 1, replayed: true });
  expect(await edit(service, "file", [["new", "newer"]])).toMatchObject({ partedLinks: 0 });
  for (const append of [false, true]) {
    const name = `linked ${append}`;
    await link(join(path, "other"), join(path, name));
    const { ino } = await stat(join(path, "other"));
    expect(await service.write(name, "written\n", { append })).toMatchObject({ partedLinks: 1 });
    expect(await readFile(join(path, "other"), "utf8")).toBe("old\n");
    expect((await stat(join(path, "other"))).ino).toBe(ino);
    expect(await readFile(join(path, name), "utf8")).toBe(append ? "old\nwritten\n" : "written\n");
  }
});

test("if_match holds an edit to one version", async () => {
  const service = await startFileService();
  const etag = (await service.write("file", "one")).file?.etag ?? "";
  await service.write("file", "one ");
  expect(await reasonOf(() => edit(service, "file", [["one", "two"]], { ifMatch: etag }))).toBe("etag_mismatch");
  expect(await reasonOf(() => edit(service, "file", [["one", "two"]], { ifMatch: "*" }))).toBe("etag_mismatch");
});

test("a repeated edit is answered as the first one was, patch included", async () => {
  const service = await startFileService();
  await service.write("file", "a");
  const first = await edit(service, "file", [["a", "aa"]], { id: "change" });
  const again = await edit(service, "file", [["a", "aa"]], { id: "change" });
  expect(again).toEqual({ ...first, replayed: true });
  expect(await service.read("file")).toBe("aa");
  expect(await reasonOf(() => edit(service, "file", [["a", "ab"]], { id: "change" }))).toBe("id_reused");
});

test("of many edits of one file at once none is lost", async () => {
  const service = await startFileService();
  await service.write("file", Array.from({ length: 20 }, (_, i) => `<${i}>`).join("\n"));
  await Promise.all(Array.from({ length: 20 }, (_, i) => edit(service, "file", [[`<${i}>`, `[${i}]`]])));
  expect(await service.read("file")).toBe(Array.from({ length: 20 }, (_, i) => `[${i}]`).join("\n"));
});

test("what a command writes while an edit is prepared is not overwritten", async () => {
  const file: { path?: string } = {};
  let interfere = true;
  const service = await startFileService({
    failpoint: (step) => {
      if (step !== "intended" || !interfere || file.path === undefined) return;
      interfere = false;
      execFileSync("sh", ["-c", `echo "by a command" >> "$0"`, file.path]);
    },
  });
  await service.write("file", "text\n");
  file.path = join(service.path, "file");
  await edit(service, "file", [["text", "edited"]]);
  expect(await service.read("file")).toBe("edited\nby a command\n");
});
