import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { BatchOperationSchema, BatchResponse } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { type FileServiceUnderTest, reasonOf, startFileService, WORKSPACE } from "./service.ts";

type Operation = NonNullable<MessageInitShape<typeof BatchOperationSchema>["operation"]>;

const run = (
  { files }: Pick<FileServiceUnderTest, "files">,
  operations: Operation[],
  options: { stopOnError?: boolean; epoch?: bigint } = {},
) => files.batch({ workspace: WORKSPACE, epoch: 1n, operations: operations.map((operation) => ({ operation })), ...options });

const write = (id: string, path: string, text: string, more: { append?: boolean; ifMatch?: string } = {}): Operation => ({
  case: "write",
  value: { header: { changeId: id, path, ...more }, data: Buffer.from(text) },
});
const stat = (path: string): Operation => ({ case: "stat", value: { path } });
const read = (path: string, length = 0n): Operation => ({ case: "read", value: { path, length } });

/** Each result's kind; of an error, its reason; of a change that was made before, `replayed`. */
function told({ results }: BatchResponse): string[] {
  return results.map(({ result }) => {
    if (result.case === "error") return result.value.reason;
    const isReplay = result.case !== undefined && "replayed" in result.value && result.value.replayed;
    return isReplay ? "replayed" : String(result.case);
  });
}

const EVERY_KIND: Operation[] = [
  { case: "mkdir", value: { changeId: "1", path: "a/b", recursive: true } },
  write("2", "a/b/file", "one\n"),
  stat("a/b/file"),
  { case: "edit", value: { changeId: "3", path: "a/b/file", edits: [{ oldText: "one", newText: "two" }] } },
  write("4", "a/b/file", "three\n", { append: true }),
  read("a/b/file"),
  { case: "move", value: { changeId: "5", source: "a/b/file", destination: "moved" } },
  { case: "list", value: { path: "" } },
  { case: "remove", value: { changeId: "6", path: "a", recursive: true } },
  stat("a"),
];

test("a batch carries out every kind of operation, each after the one before, and answers in their order", async () => {
  const service = await startFileService();
  const response = await run(service, EVERY_KIND);
  expect(told(response)).toEqual(["mkdir", "write", "stat", "edit", "write", "read", "move", "list", "remove", "not_found"]);
  const [, , stats, edit, , content, , list, , missing] = response.results.map(({ result }) => result.value);
  expect(stats).toMatchObject({ file: { name: "file", size: 4n } });
  expect(edit).toMatchObject({ firstChangedLine: 1n, patch: expect.stringContaining("+two") });
  expect(content).toMatchObject({ file: { size: 10n }, data: new Uint8Array(Buffer.from("two\nthree\n")) });
  expect(list).toMatchObject({ files: [{ name: "a" }, { name: "moved" }], nextPageToken: "" });
  expect(missing).toMatchObject({ code: Code.NotFound, message: "a does not exist" });
  expect(readFileSync(join(service.path, "moved"), "utf8")).toBe("two\nthree\n");
});

test("what fails is told with its reason, and the rest goes on, or does not where that was asked for", async () => {
  const service = await startFileService();
  const operations = [write("1", "file", "x"), stat("../out"), write("2", "file", "y", { ifMatch: "*" }), stat("file")];
  expect(told(await run(service, operations))).toEqual(["write", "path_outside", "etag_mismatch", "stat"]);
  const stopped = await run(service, [stat("file"), stat("none"), write("3", "never", "x"), stat("file")], { stopOnError: true });
  expect(told(stopped)).toEqual(["stat", "not_found", "not_run", "not_run"]);
  expect(stopped.results[2]?.result.value).toMatchObject({ code: Code.Aborted, message: expect.stringContaining("operation 1 failed") });
  expect(await reasonOf(() => service.read("never"))).toBe("not_found");
});

test("a batch that is repeated changes nothing twice, together with the calls of their own", async () => {
  const service = await startFileService();
  const append = write("a", "log", "once\n", { append: true });
  expect(told(await run(service, [append, append]))).toEqual(["write", "replayed"]);
  expect(told(await run(service, [append, write("b", "log", "twice\n", { append: true })]))).toEqual(["replayed", "write"]);
  expect((await service.write("log", "once\n", { id: "a", append: true })).replayed).toBe(true);
  expect(told(await run(service, [write("a", "log", "other\n", { append: true })]))).toEqual(["id_reused"]);
  await service.files.mkdir({ ...service.change("m"), path: "dir" });
  expect(told(await run(service, [{ case: "mkdir", value: { changeId: "m", path: "dir" } }]))).toEqual(["replayed"]);
  expect(await service.read("log")).toBe("once\ntwice\n");
});

test("an operation is refused where it is unknown, wrong, or of another workspace or epoch than its batch", async () => {
  const service = await startFileService();
  await service.workspaces.create("other/one", 1n);
  const operations: Operation[] = [
    { case: undefined },
    { case: "write", value: { data: Buffer.from("x") } },
    { case: "stat", value: { workspace: "other/one", path: "." } },
    write("1", "x", "x"),
    { case: "mkdir", value: { changeId: "2", epoch: 2n, path: "x" } },
    { case: "stat", value: { workspace: WORKSPACE, path: "." } },
  ];
  const expected = ["unknown_operation", "invalid_argument", "invalid_argument", "write", "invalid_argument", "stat"];
  const response = await run(service, operations);
  expect(told(response)).toEqual(expected);
  expect(response.results[0]?.result.value).toMatchObject({ code: Code.Unimplemented });
  expect(response.results[2]?.result.value).toMatchObject({ message: expect.stringContaining("operations[2].stat.workspace") });
  await service.workspaces.resolve(WORKSPACE, 5n);
  expect(told(await run(service, [write("3", "x", "x"), stat("x")]))).toEqual(["stale_epoch", "stat"]);
});

test("a batch is bounded: operations, bytes of the request, bytes of the answer", async () => {
  const service = await startFileService({ limits: { batchOperations: 3, batchBytes: 10_000 } });
  expect(await reasonOf(() => run(service, []))).toBe("invalid_argument");
  expect(
    await reasonOf(() =>
      run(
        service,
        [1, 2, 3, 4].map(() => stat(".")),
      ),
    ),
  ).toBe("invalid_argument");
  expect(await reasonOf(() => run(service, [write("1", "never", "x".repeat(10_001))]))).toBe("batch_too_large");
  expect(await reasonOf(() => service.read("never"))).toBe("not_found");
  expect(await reasonOf(() => service.files.batch({ workspace: "acme/none", operations: [{ operation: stat(".") }] }))).toBe(
    "unknown_workspace",
  );
  writeFileSync(join(service.path, "large"), "x".repeat(9000));
  const reads = await run(service, [read("large"), read("large"), read("large", 100n)]);
  expect(told(reads)).toEqual(["read", "answer_too_large", "read"]);
  expect(reads.results[1]?.result.value).toMatchObject({ code: Code.ResourceExhausted, metadata: { limit_bytes: "10000" } });
  // What happened is told as such, however little room is left.
  const edits = [{ oldText: "y".repeat(4000), newText: "z".repeat(4000) }];
  writeFileSync(join(service.path, "text"), "y".repeat(4000));
  const edited = await run(service, [read("large"), { case: "edit", value: { changeId: "e", path: "text", edits } }]);
  expect(edited.results[1]?.result).toMatchObject({ case: "edit", value: { patch: "", file: { size: 4000n } } });
  expect((await service.files.edit({ ...service.change("e"), path: "text", edits })).patch).toContain("zzz");
});
