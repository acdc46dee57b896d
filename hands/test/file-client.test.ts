import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { createLogger } from "@serverless-harness/kit/log";
import { type Server, serve } from "@serverless-harness/kit/serve";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { createTransport } from "@serverless-harness/kit/transport";
import { FileKind, FileService, WorkspaceService } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { Changes, type ChangesOptions } from "../changes.ts";
import { WorkspaceFiles } from "../client/files.ts";
import { createRetry } from "../client/retry.ts";
import { fileService } from "../rpc/file/index.ts";
import { workspaceService } from "../rpc/workspace/index.ts";
import { Workspaces } from "../workspaces.ts";

/** A daemon's file side on a Unix socket, that can be stopped and started anew, and clients of it. */
async function makeHands() {
  const base = await temporaryDirectory();
  const address = { kind: "unix", path: join(base, "hands.sock") } as const;
  const log = createLogger("test", "silent");
  let server: Server | undefined;
  const stop = async (): Promise<void> => server?.close(0);
  onTestFinished(stop);
  const start = async (failpoint?: NonNullable<ChangesOptions["failpoint"]>): Promise<void> => {
    const workspaces = await Workspaces.open({ root: join(base, "workspaces"), state: join(base, "state") });
    const changes = new Changes({ workspaces, log, ...(failpoint === undefined ? {} : { failpoint }) });
    server = await serve({
      address,
      log,
      routes: (router) => {
        router.service(FileService, fileService({ workspaces, changes }));
        router.service(WorkspaceService, workspaceService({ workspaces }));
      },
    });
  };
  const client = (epoch: bigint, patienceMs = 20_000): WorkspaceFiles => {
    const transport = createTransport({ address });
    onTestFinished(() => transport.close());
    return new WorkspaceFiles(transport, "acme/one", epoch, createRetry({ patienceMs }));
  };
  return { start, stop, client };
}

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
  const { start, stop, client } = await makeHands();
  let reached = (): void => undefined;
  const done = new Promise<void>((resolve) => {
    reached = resolve;
  });
  // The change has happened; its answer never leaves.
  await start((step) => {
    if (step !== "committed") return undefined;
    reached();
    return new Promise(() => undefined);
  });
  const files = client(1n);
  await files.create();
  const appended = files.write("log", bytes("once\n"), { changeId: "append", append: true });
  await done;
  await stop();
  await start();
  expect(await appended).toMatchObject({ replayed: true, file: { size: 5n } });
  expect(text(await files.read("log"))).toBe("once\n");
});
