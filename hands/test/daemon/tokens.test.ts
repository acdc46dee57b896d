import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { type Claims, OPERATIONS } from "@serverless-harness/kit/hands-claims";
import { generateKeys, TokenMint, TokenVerifier } from "@serverless-harness/kit/hands-token";
import type { Token } from "@serverless-harness/kit/transport";
import {
  type BatchOperationSchema,
  BatchRequestSchema,
  ExecService,
  FileService,
  file_harness_hands_v1_exec,
  file_harness_hands_v1_file,
  file_harness_hands_v1_identity,
  file_harness_hands_v1_terminal,
  file_harness_hands_v1_workspace,
  TerminalService,
  WorkspaceService,
} from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { furtherOperationOf, operationOf } from "../../rpc/operations.ts";
import { EPOCH, type Sandbox, spec, startSandbox, takeAll, WORKSPACE } from "../fixtures/sandbox.ts";

const keys = generateKeys();
const mint = new TokenMint(keys.privateKey);
const tokenOf =
  (more: Partial<Claims> = {}) =>
  () =>
    mint.mint({ subject: "test", scopes: [WORKSPACE], expiresAtMs: Date.now() + 60_000, ...more });

const start = () => startSandbox({ verifier: new TokenVerifier(keys.publicKey) });

async function errorOf(promise: Promise<unknown>) {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => fromConnectError(thrown),
  );
  return error === undefined ? "accepted" : `${Code[error.code]} ${error.reason}`;
}

const DENIED = "PermissionDenied out_of_scope";
const STALE = "FailedPrecondition stale_epoch";

/** A call of each operation. */
function callsOf(sandbox: Sandbox, token: Token) {
  const transport = sandbox.connect(token);
  const target = { workspace: WORKSPACE, epoch: EPOCH };
  const files = createClient(FileService, transport);
  return {
    exec: () => createClient(ExecService, transport).list(target),
    "files.read": () => files.stat({ ...target, path: "." }),
    "files.write": () => files.mkdir({ ...target, path: "made", changeId: "made" }),
    terminal: () => createClient(TerminalService, transport).list(target),
    workspaces: () => createClient(WorkspaceService, transport).create(target),
    "workspaces.list": () => createClient(WorkspaceService, transport).list({}),
  };
}

test("every RPC of every service is an operation's or open to all of them, and every operation but the metrics' has an RPC", () => {
  const services = [
    file_harness_hands_v1_exec,
    file_harness_hands_v1_file,
    file_harness_hands_v1_identity,
    file_harness_hands_v1_terminal,
    file_harness_hands_v1_workspace,
  ].flatMap((file) => file.services);
  const methods = services.flatMap((service) => service.methods);
  expect(methods.length).toBeGreaterThan(25);
  expect(methods.filter((method) => operationOf(method) === undefined).map(({ name }) => name)).toEqual([]);
  expect(new Set([...methods.map(operationOf), "metrics"])).toEqual(new Set([...OPERATIONS, "any"]));
});

test("a token opens the calls of its operations, and none of the others", async () => {
  const sandbox = await start();
  const all = ["exec", "files.read", "files.write", "terminal", "workspaces", "workspaces.list"] as const;
  for (const operation of all) {
    const calls = callsOf(sandbox, tokenOf({ operations: [operation] }));
    const covered = operation === "workspaces" ? ["workspaces", "workspaces.list"] : [operation];
    for (const other of all) expect([other, await errorOf(calls[other]())]).toEqual([other, covered.includes(other) ? "accepted" : DENIED]);
  }
  for (const call of Object.values(callsOf(sandbox, tokenOf()))) expect(await errorOf(call())).toBe("accepted");
  for (const operations of [[], ["metrics"]] as const)
    for (const call of Object.values(callsOf(sandbox, tokenOf({ operations })))) expect(await errorOf(call())).toBe(DENIED);
});

test("a batch needs what its operations need", () => {
  const batch = (...cases: string[]) => {
    const operations = cases.map((name) => ({ operation: { case: name, value: {} } }) as MessageInitShape<typeof BatchOperationSchema>);
    return furtherOperationOf(create(BatchRequestSchema, { operations }));
  };
  const operation = BatchRequestSchema.field["operations"]?.message?.oneofs[0];
  for (const { localName } of operation?.fields ?? [])
    expect([localName, batch("stat", localName)]).toEqual([
      localName,
      ["stat", "read", "list"].includes(localName) ? undefined : "files.write",
    ]);
  expect(operation?.fields.length).toBeGreaterThan(5);
  expect(furtherOperationOf(create(BatchRequestSchema, { operations: [{}] }))).toBe("files.write");
});

test("a token minted under a newer epoch voids the older one, for reading too, at its first call and over a restart", async () => {
  const sandbox = await start();
  const old = callsOf(sandbox, tokenOf({ epoch: EPOCH }));
  expect(await errorOf(old["files.read"]())).toBe("accepted");
  expect(await errorOf(old["files.write"]())).toBe("accepted");
  // It only reads, and carries the epoch in its token alone.
  expect(await errorOf(callsOf(sandbox, tokenOf({ epoch: EPOCH + 1n }))["files.read"]())).toBe("accepted");
  for (const call of Object.values(old)) expect(await errorOf(call())).toBe(STALE);
  const restarted = await startSandbox({ base: sandbox.base, verifier: new TokenVerifier(keys.publicKey) }).catch(
    (error: unknown) => error,
  );
  // The fixture takes its workspace over with the old epoch, which is refused.
  expect(restarted).toMatchObject({ reason: "stale_epoch" });
});

test("a token of a deleted workspace's older owner can't make it anew", async () => {
  const sandbox = await start();
  const workspaces = (epoch: bigint) => createClient(WorkspaceService, sandbox.connect(tokenOf({ epoch })));
  await workspaces(EPOCH + 1n).delete({ workspace: WORKSPACE, epoch: EPOCH + 1n });
  expect(await errorOf(workspaces(EPOCH).create({ workspace: WORKSPACE, epoch: EPOCH }))).toBe(STALE);
  expect(await errorOf(workspaces(EPOCH + 1n).create({ workspace: WORKSPACE, epoch: EPOCH + 1n }))).toBe("accepted");
});

test("an older owner's token can't claim an epoch that it was not minted under, in any kind of message", async () => {
  const sandbox = await start();
  const transport = sandbox.connect(tokenOf({ epoch: EPOCH }));
  const [exec, files] = [createClient(ExecService, transport), createClient(FileService, transport)];
  const newer = { workspace: WORKSPACE, epoch: EPOCH + 9n };
  async function* channel() {
    yield { request: { case: "run" as const, value: { spec: spec("touch made", newer) } } };
  }
  async function* write() {
    yield { part: { case: "header" as const, value: { ...newer, path: "made", changeId: "write" } } };
  }
  const drain = async (stream: AsyncIterable<unknown>) => {
    for await (const _ of stream);
  };
  for (const call of [
    () => takeAll(exec.run({ spec: spec("touch made", newer) })),
    () => drain(exec.channel(channel())),
    () => files.write(write()),
    () => files.mkdir({ ...newer, path: "made", changeId: "mkdir" }),
    () => createClient(WorkspaceService, transport).create(newer),
    () => createClient(TerminalService, transport).open({ ...newer, terminalId: "t" }),
  ])
    expect(await errorOf(call())).toBe(DENIED);
  // And so fenced nobody off.
  expect(sandbox.workspaces.describe(WORKSPACE).epoch).toBe(EPOCH);
  expect(await errorOf(files.stat({ workspace: WORKSPACE, path: "made" }))).toBe("NotFound not_found");
});

test("a channel that is open under an older epoch is refused at its next message", async () => {
  const sandbox = await start();
  const client = createClient(ExecService, sandbox.connect(tokenOf({ epoch: EPOCH })));
  const answered = Promise.withResolvers<void>();
  async function* requests() {
    yield { request: { case: "ping" as const, value: { nonce: 1n } } };
    await answered.promise;
    yield { request: { case: "ping" as const, value: { nonce: 2n } } };
  }
  const responses = client.channel(requests())[Symbol.asyncIterator]();
  expect((await responses.next()).value.response.case).toBe("pong");
  await callsOf(sandbox, tokenOf({ epoch: EPOCH + 1n })).exec();
  answered.resolve();
  expect(await errorOf(responses.next())).toBe(STALE);
});
