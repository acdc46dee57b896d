import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { FileKind } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { makeHands } from "../files/daemon-process.ts";

const text = (data: Uint8Array): string => Buffer.from(data).toString("utf8");
const bytes = (content: string): Uint8Array => Buffer.from(content);

test("a client does everything that there is to do with files", async () => {
  const { start, client } = await makeHands();
  await start();
  const files = client(1n);
  const { path } = await files.create();
  const written = await files.write("a/file", bytes("one\ntwo\n"), { changeId: "1", mode: 0o600 });
  expect(written).toMatchObject({ replayed: false, file: { path: `${path}/a/file`, size: 8n, mode: 0o600 } });
  expect(text(await files.read("a/file"))).toBe("one\ntwo\n");
  expect(text(await files.read("a/file", { offset: 4, length: 3, ifMatch: written.file.etag }))).toBe("two");
  const edited = await files.edit("a/file", [{ oldText: "two", newText: "2" }], { changeId: "2", ifMatch: written.file.etag });
  expect(edited).toMatchObject({ firstChangedLine: 2, replayed: false });
  expect(edited.patch).toContain("-two\n+2\n");
  await files.write("a/file", bytes("three\n"), { changeId: "3", append: true });
  expect(await files.grep("", "^(one|three)$")).toMatchObject({ lines: [{ line: 1n, text: "one" }, { line: 3n }], truncated: false });
  await files.mkdir("b/c", { changeId: "4", recursive: true });
  await files.move("a/file", "b/c/moved", { changeId: "5" });
  expect(await files.find(".", "*")).toEqual({ paths: ["a/", "b/", "b/c/", "b/c/moved"], truncated: false });
  expect((await files.list("")).map(({ name, kind }) => [name, kind])).toEqual([
    ["a", FileKind.DIRECTORY],
    ["b", FileKind.DIRECTORY],
  ]);
  await files.remove("b", { changeId: "6", recursive: true });
  await files.remove("b", { changeId: "7", missingOk: true });
  expect(await files.stat("a")).toMatchObject({ kind: FileKind.DIRECTORY });
  expect((await files.stat(".", { follow: true })).path).toBe(path);
});

test("a list is whole however many pages it takes, a file however many pieces", async () => {
  const { start, client } = await makeHands();
  await start();
  const files = client(1n);
  await files.create();
  const large = Buffer.alloc(3 * 1024 * 1024 + 7, "0123456789");
  await files.write("large", large, { changeId: "large" });
  expect(large.equals(await files.read("large"))).toBe(true);
  expect(text(await files.read("large", { offset: large.length - 3 }))).toBe(text(large.subarray(-3)));
  await files.write("empty", new Uint8Array(), { changeId: "empty" });
  expect(await files.read("empty")).toHaveLength(0);
});

test("what goes wrong is a HarnessError with its reason", async () => {
  const { start, client } = await makeHands();
  await start();
  const files = client(2n);
  await files.create();
  const missing = await files.read("none").catch((error: unknown) => error);
  expect(missing).toBeInstanceOf(HarnessError);
  expect(missing).toMatchObject({ code: Code.NotFound, reason: "not_found" });
  await expect(files.write("../x", bytes("x"), { changeId: "1" })).rejects.toMatchObject({ reason: "path_outside" });
  await expect(files.edit("none", [], { changeId: "2" })).rejects.toMatchObject({ violations: [{ field: "edits" }] });
  await expect(client(1n).write("x", bytes("x"), { changeId: "3" })).rejects.toMatchObject({ reason: "stale_epoch" });
});

test("calls wait for a daemon that is not there yet, and give up after the client's patience", async () => {
  const { start, client } = await makeHands();
  const created = client(1n).create();
  await expect(client(1n, 50).create()).rejects.toMatchObject({ code: Code.Unavailable, reason: "sandbox_unavailable" });
  await start();
  expect(await created).toMatchObject({ name: "acme/one" });
});

test("a change whose answer was lost with the daemon is answered by the next one, and not made again", async () => {
  const { start, client } = await makeHands();
  // The change has happened; its answer never leaves.
  const daemon = await start({ step: "committed" });
  const files = client(1n);
  await files.create();
  const appended = files.write("log", bytes("once\n"), { changeId: "append", append: true });
  expect(await daemon.line()).toBe("reached");
  await daemon.kill();
  await start();
  expect(await appended).toMatchObject({ replayed: true, file: { size: 5n } });
  expect(text(await files.read("log"))).toBe("once\n");
});

test("a batch that is cut by a killed daemon is repeated by itself, and each of its changes happens once", async () => {
  const { start, client } = await makeHands();
  const first = await start();
  const files = client(1n);
  await files.create();
  const append = (changeId: string, line: string) => ({ kind: "write", path: "log", data: bytes(line), changeId, append: true }) as const;
  const steps = [append("1", "one\n"), append("2", "two\n"), append("3", "three\n"), { kind: "read", path: "log" }] as const;
  await files.batch(steps.slice(0, 1));
  await first.kill();
  // The second change has happened, the third has not.
  const daemon = await start({ step: "committed" });
  const outcomes = files.batch(steps, { stopOnError: true });
  expect(await daemon.line()).toBe("reached");
  await daemon.kill();
  await start();
  expect(await outcomes).toMatchObject([
    { case: "write", value: { replayed: true } },
    { case: "write", value: { replayed: true } },
    { case: "write", value: { replayed: false } },
    { case: "read", value: { data: new Uint8Array(bytes("one\ntwo\nthree\n")) } },
  ]);
});

test("a batch has every kind of step, and failures as errors", async () => {
  const { start, client } = await makeHands();
  await start();
  const files = client(1n);
  await files.create();
  const outcomes = await files.batch([
    { kind: "mkdir", path: "dir/below", changeId: "1", recursive: true },
    { kind: "write", path: "dir/file", data: bytes("one"), changeId: "2", mode: 0o600 },
    { kind: "edit", path: "dir/file", edits: [{ oldText: "one", newText: "two" }], changeId: "3" },
    { kind: "move", source: "dir/file", destination: "file", changeId: "4" },
    { kind: "read", path: "file", offset: 1, length: 1 },
    { kind: "list", path: "dir" },
    { kind: "remove", path: "dir", recursive: true, changeId: "5" },
    { kind: "stat", path: "dir" },
  ]);
  expect(outcomes.map((outcome) => outcome.case)).toEqual(["mkdir", "write", "edit", "move", "read", "list", "remove", "error"]);
  expect(outcomes[4]).toMatchObject({ value: { file: { mode: 0o600 }, data: new Uint8Array(bytes("w")) } });
  expect(outcomes[7]?.value).toBeInstanceOf(HarnessError);
  expect(outcomes[7]?.value).toMatchObject({ code: Code.NotFound, reason: "not_found" });
});
