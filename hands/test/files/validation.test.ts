import { type Client, Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { boundary, createLogger } from "@serverless-harness/kit/log";
import { startServer, temporaryDirectory } from "@serverless-harness/kit/testing";
import { FileService, WorkspaceService } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { Changes } from "../../changes/changes.ts";
import { fileService } from "../../rpc/file.ts";
import { workspaceService } from "../../rpc/workspace.ts";
import { Workspaces } from "../../workspaces/workspaces.ts";
import { openTrees } from "../fixtures/trees.ts";
import { collect, messages } from "../streams.ts";

async function services() {
  const base = await temporaryDirectory();
  const workspaces = await Workspaces.open({ root: `${base}/workspaces`, state: `${base}/state` });
  const changes = new Changes({ workspaces, durability: "process", log: createLogger("test", "silent") });
  return {
    workspaces,
    files: fileService({ workspaces, changes }),
    service: workspaceService({ workspaces, trees: await openTrees(base) }),
  };
}

/** The services without a network. */
async function inMemory(): Promise<{ files: Client<typeof FileService>; workspaces: Client<typeof WorkspaceService> }> {
  const { files, service } = await services();
  const transport = createRouterTransport((router) => void router.service(FileService, files).service(WorkspaceService, service), {
    router: { interceptors: [boundary(createLogger("test", "silent"))] },
  });
  return { files: createClient(FileService, transport), workspaces: createClient(WorkspaceService, transport) };
}

async function fieldsOf(call: Promise<unknown>): Promise<string[]> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => fromConnectError(thrown),
  );
  expect(error).toMatchObject({ code: Code.InvalidArgument, reason: "invalid_argument" });
  return [...new Set(error?.violations.map(({ field }) => field))];
}

const NUL = "a\0b";
const LONG_NAME = `a/${"x".repeat(256)}`;
const LONG_PATH = "x/".repeat(2050);
const change = { changeId: "a b", workspace: "nope", epoch: -1n };
const CHANGE = ["change_id", "workspace", "epoch"];

test("every call lists every field that is wrong", async () => {
  const { files, workspaces } = await inMemory();
  const workspace = "nope";
  expect(await fieldsOf(files.stat({ workspace, path: "" }))).toEqual(["workspace", "path"]);
  const read = { workspace, path: NUL, offset: -1n, length: -1n, ifMatch: "x".repeat(300) };
  expect(await fieldsOf(collect(files.read(read)))).toEqual(["workspace", "path", "offset", "length", "if_match"]);
  const header = { part: { case: "header" as const, value: { ...change, path: LONG_NAME, mode: 0o10000 } } };
  expect(await fieldsOf(files.write(messages(header)))).toEqual([...CHANGE, "path", "mode"]);
  expect(await fieldsOf(files.edit({ ...change, path: LONG_PATH }))).toEqual([...CHANGE, "path", "edits"]);
  expect(await fieldsOf(files.list({ workspace, path: NUL, pageSize: -1 }))).toEqual(["workspace", "path", "page_size"]);
  expect(await fieldsOf(files.find({ workspace, path: NUL, limit: 10_001 }))).toEqual(["workspace", "path", "glob", "limit"]);
  const grep = { workspace, path: NUL, contextLines: 51, limit: -1, glob: NUL };
  expect(await fieldsOf(files.grep(grep))).toEqual(["workspace", "path", "pattern", "glob", "context_lines", "limit"]);
  expect(await fieldsOf(files.mkdir({ ...change, path: "" }))).toEqual([...CHANGE, "path"]);
  expect(await fieldsOf(files.move({ ...change, source: "", destination: NUL }))).toEqual([...CHANGE, "source", "destination"]);
  expect(await fieldsOf(files.remove({ ...change, path: "" }))).toEqual([...CHANGE, "path"]);
  expect(await fieldsOf(workspaces.create({ workspace: "../x", epoch: -1n }))).toEqual(["workspace", "epoch"]);
  expect(await fieldsOf(workspaces.delete({ workspace: ".staging/x", epoch: -1n }))).toEqual(["workspace", "epoch"]);
});

test("names that could reach the daemon's own directories are no workspaces", async () => {
  const { files, workspaces } = await inMemory();
  for (const name of ["", "a", "a/b/c", "/a", "a/", "../a", "a/..", ".trash/x", "a/.b", "-a/b", "a/b c", NUL]) {
    expect(await fieldsOf(workspaces.create({ workspace: name, epoch: 1n }))).toEqual(["workspace"]);
    expect(await fieldsOf(files.stat({ workspace: name, path: "x" }))).toEqual(["workspace"]);
  }
});

test("plain HTTP with JSON is answered as well, errors with their reason", async () => {
  const { files, workspaces, service } = await services();
  await workspaces.create("acme/one", 1n);
  const { server } = await startServer({ routes: (router) => void router.service(FileService, files).service(WorkspaceService, service) });
  const { address } = server;
  if (address.kind !== "tcp") throw new Error("not on TCP");
  const post = async (call: string, body: unknown) => {
    const response = await fetch(`http://127.0.0.1:${address.port}/harness.hands.v1.FileService/${call}`, {
      method: "POST",
      headers: { "content-type": "application/json", connection: "close" },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const made = await post("Mkdir", { changeId: "m", workspace: "acme/one", epoch: "1", path: "a" });
  expect(made).toEqual({ status: 200, body: {} });
  expect((await post("List", { workspace: "acme/one" })).body).toMatchObject({ files: [{ name: "a", kind: "FILE_KIND_DIRECTORY" }] });
  const outside = await post("Stat", { workspace: "acme/one", path: "../x" });
  expect(outside.status).toBe(403);
  expect(outside.body).toMatchObject({ code: "permission_denied", details: [{ debug: { reason: "path_outside" } }] });
});
