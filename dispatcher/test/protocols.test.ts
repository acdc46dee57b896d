import type { DescMethod } from "@bufbuild/protobuf";
import { create, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { Health } from "@serverless-harness/proto/health";
import { LeafService, LeafState, type RunResponse, type WatchResponse } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { AUTHORIZED, finishNext, openDoor, refusal, TOKEN } from "./support.ts";

type MakeTransport = (baseUrl: string, sessionManager: Http2SessionManager) => Transport;

const TRANSPORTS: ReadonlyArray<readonly [name: string, make: MakeTransport]> = [
  ["Connect, HTTP/2", (baseUrl, sessionManager) => createConnectTransport({ baseUrl, httpVersion: "2", sessionManager })],
  ["Connect with JSON, HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false })],
  ["gRPC", (baseUrl, sessionManager) => createGrpcTransport({ baseUrl, sessionManager })],
  ["gRPC-web, HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "gRPC-web with JSON, HTTP/2",
    (baseUrl, sessionManager) => createGrpcWebTransport({ baseUrl, httpVersion: "2", sessionManager, useBinaryFormat: false }),
  ],
];

async function openDoorFor(make: MakeTransport) {
  const door = await openDoor();
  const sessions = new Http2SessionManager(door.origin);
  onTestFinished(() => sessions.abort());
  const transport = make(door.origin, sessions);
  const leaves = createClient(LeafService, transport);
  return { ...door, leaves, health: createClient(Health, transport), options: { headers: AUTHORIZED } };
}

describe.each(TRANSPORTS)("over %s", (_name, make) => {
  test("a leaf is submitted, found, listed and watched to its end", async () => {
    const { leaves, store, options } = await openDoorFor(make);
    const { leaf, created } = await leaves.submit({ spec: { prompt: "p", labels: { team: "blue" } }, idempotencyKey: "k" }, options);
    const leafId = leaf?.leafId ?? "";
    expect({ created, state: leaf?.state, attempts: leaf?.claims }).toEqual({ created: true, state: LeafState.QUEUED, attempts: 0 });
    const again = await leaves.submit({ spec: { prompt: "p", labels: { team: "blue" } }, idempotencyKey: "k" }, options);
    expect({ created: again.created, leafId: again.leaf?.leafId }).toEqual({ created: false, leafId });

    await finishNext(store, "the answer", ["the ", "answer"]);
    const { leaf: done } = await leaves.get({ leafId }, options);
    expect(done).toMatchObject({ leafId, state: LeafState.DONE, result: { text: "the answer" } });
    const { leaves: listed } = await leaves.list({ labels: { team: "blue" }, states: [LeafState.DONE] }, options);
    expect(listed.map((found) => found.leafId)).toEqual([leafId]);

    const seen: WatchResponse[] = [];
    for await (const response of leaves.watch({ leafId, afterSeq: 1n }, options)) seen.push(response);
    expect(seen.map(({ event }) => event?.event.case)).toEqual(["stateChanged", "textDelta", "textDelta", "stateChanged"]);
    expect(seen.map(({ event }) => event?.seq)).toEqual([2n, 3n, 4n, 5n]);
  });

  test("Run streams the leaf, its events as they happen, and ends behind the terminal one", async () => {
    const { leaves, store, options } = await openDoorFor(make);
    const responses: RunResponse[] = [];
    for await (const response of leaves.run({ spec: { prompt: "p" } }, options)) {
      responses.push(response);
      if (response.event?.seq === 1n) await finishNext(store, "late", ["la", "te"]);
    }
    expect(responses[0]?.leaf?.state).toBe(LeafState.QUEUED);
    expect(responses.slice(1).map(({ leaf, event }) => [leaf, event?.seq])).toEqual([1n, 2n, 3n, 4n, 5n].map((seq) => [undefined, seq]));
    expect(responses.at(-1)?.event?.event).toMatchObject({ case: "stateChanged", value: { state: LeafState.DONE } });
  });

  test("errors keep code, reason and every wrong field", async () => {
    const { leaves, options } = await openDoorFor(make);
    const bad = await refusal(leaves.submit({ spec: { prompt: "", tenant: "/" } }, options));
    expect([bad.code, bad.reason, bad.violations.map((v) => v.field)]).toEqual([
      Code.InvalidArgument,
      "invalid_argument",
      ["spec.tenant", "spec.prompt"],
    ]);
    await leaves.submit({ spec: { prompt: "a" }, idempotencyKey: "k" }, options);
    const reused = await refusal(leaves.submit({ spec: { prompt: "b" }, idempotencyKey: "k" }, options));
    expect(reused).toMatchObject({ code: Code.AlreadyExists, reason: "idempotency_key_reused" });
  });

  test("a call without the token is UNAUTHENTICATED, a health probe is not", async () => {
    const { leaves, health } = await openDoorFor(make);
    expect(await refusal(leaves.list({}))).toMatchObject({ code: Code.Unauthenticated, reason: "unauthorized" });
    expect((await health.check({ service: LeafService.typeName })).status).toBe(1);
  });
});

describe("over plain HTTP with JSON", () => {
  test("fetch submits, gets and lists leaves", async () => {
    const { origin, store } = await openDoor();
    const call = async (method: string, body: unknown) => {
      const headers = { ...AUTHORIZED, "content-type": "application/json", connection: "close" };
      const url = `${origin}/harness.leaf.v1.LeafService/${method}`;
      const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
      return { status: response.status, body: JSON.parse(await response.text()) };
    };
    const submitted = await call("Submit", { spec: { prompt: "p", sessionId: "s" } });
    expect(submitted).toMatchObject({ status: 200, body: { created: true, leaf: { state: "LEAF_STATE_QUEUED" } } });
    const leafId: unknown = submitted.body.leaf.leafId;
    await finishNext(store, "done");
    expect(await call("Get", { leafId })).toMatchObject({ status: 200, body: { leaf: { result: { text: "done" } } } });
    expect(await call("List", { sessionId: "s" })).toMatchObject({ status: 200, body: { leaves: [{ leafId }] } });
    expect(await call("Get", { leafId: "leaf_x" })).toMatchObject({ status: 404, body: { code: "not_found" } });
    expect(await call("Submit", { spec: { prompt: "" } })).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    expect(await call("Submit", { spec: { prompt: "p", kind: 9 } })).toMatchObject({ status: 400 });
  });

  test("fetch follows a leaf as a stream of enveloped JSON messages", async () => {
    const { origin, store, leaves } = await openDoor();
    const { leaf } = await leaves.submit({ spec: { prompt: "p" } });
    await finishNext(store, "done", ["x".repeat(100_000)]);
    const headers = { ...AUTHORIZED, "content-type": "application/connect+json", connection: "close" };
    const url = `${origin}/harness.leaf.v1.LeafService/Watch`;
    const response = await fetch(url, { method: "POST", headers, body: enveloped({ leafId: leaf?.leafId }) });
    const messages = unenveloped(Buffer.from(await response.arrayBuffer()));
    expect(messages.map(({ flags }) => flags)).toEqual([0, 0, 0, 0, 2]);
    expect(messages.slice(0, 4).map(({ json }) => Object.keys(json.event ?? {})[3])).toEqual([
      "stateChanged",
      "stateChanged",
      "textDelta",
      "stateChanged",
    ]);
    expect(messages[4]?.json).toEqual({});
  });
});

describe("the client of grpc-js", () => {
  const methods = LeafService.method;

  function unary<M extends DescMethod>(client: Client, method: M, request: MessageShape<M["input"]>, token: string) {
    const { promise, resolve, reject } = Promise.withResolvers<MessageShape<M["output"]>>();
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    client.makeUnaryRequest(
      `/${LeafService.typeName}/${method.name}`,
      (message: MessageShape<M["input"]>) => Buffer.from(toBinary(method.input, message)),
      (bytes) => fromBinary(method.output, bytes) as MessageShape<M["output"]>,
      request,
      metadata,
      (error, response) => (response === undefined ? reject(error) : resolve(response)),
    );
    return promise;
  }

  async function open() {
    const door = await openDoor();
    const client = new Client(new URL(door.origin).host, credentials.createInsecure());
    onTestFinished(() => client.close());
    return { ...door, client };
  }

  test("makes unary calls", async () => {
    const { client } = await open();
    const request = create(methods.submit.input, { spec: { prompt: "p" } });
    const { leaf } = await unary(client, methods.submit, request, TOKEN);
    const found = await unary(client, methods.get, create(methods.get.input, { leafId: leaf?.leafId ?? "" }), TOKEN);
    expect(found.leaf).toEqual(leaf);
  });

  test("gets a status, and details that it can read", async () => {
    const { client } = await open();
    const request = create(methods.submit.input, { spec: { prompt: "" } });
    const error = await unary(client, methods.submit, request, TOKEN).catch((thrown: ServiceError) => thrown);
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT });
    // grpc-js leaves the escapes of reserved characters in a message, as that of the colon.
    expect(decodeURIComponent((error as ServiceError).details)).toBe("spec.prompt: must be text that is not blank");
    expect((error as ServiceError).metadata.get("grpc-status-details-bin")).toHaveLength(1);
    const wrong = await unary(client, methods.submit, request, "wrong").catch((thrown: ServiceError) => thrown);
    expect(wrong).toMatchObject({ code: status.UNAUTHENTICATED });
  });

  test("reads a server stream to its end", async () => {
    const { client, store } = await open();
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${TOKEN}`);
    const stream = client.makeServerStreamRequest(
      `/${LeafService.typeName}/Run`,
      (message: MessageShape<typeof methods.run.input>) => Buffer.from(toBinary(methods.run.input, message)),
      (bytes) => fromBinary(methods.run.output, bytes),
      create(methods.run.input, { spec: { prompt: "p" } }),
      metadata,
    );
    const cases: Array<string | undefined> = [];
    for await (const response of stream as AsyncIterable<RunResponse>) {
      cases.push(response.leaf === undefined ? response.event?.event.case : "leaf");
      if (response.leaf !== undefined) await finishNext(store, "done", ["do", "ne"]);
    }
    expect(cases).toEqual(["leaf", "stateChanged", "stateChanged", "textDelta", "textDelta", "stateChanged"]);
  });

  test("meets UNIMPLEMENTED for an RPC that is not there", async () => {
    const { client } = await open();
    const missing = { ...methods.get, name: "Nope" };
    const error = await unary(client, missing, create(methods.get.input), TOKEN).catch((thrown: ServiceError) => thrown);
    expect(error).toMatchObject({ code: status.UNIMPLEMENTED });
  });
});

test.each([
  ["field", { spec: { prompt: "p", gates: { rules: [{ tool: "bash" }] } } }, 'key "rules" is unknown'],
  ["name of an enum", { spec: { prompt: "p", kind: "TASK" } }, 'LeafKind from JSON: "TASK"'],
  ["decision", { spec: { prompt: "p", gates: { onDeadline: "APPROVED" } } }, '"APPROVED"'],
])("a misspelt %s in JSON is refused by its name, and makes no leaf", async (_what, body, named) => {
  const { origin, leaves } = await openDoor();
  const headers = { ...AUTHORIZED, "content-type": "application/json" };
  const answer = await fetch(`${origin}/${LeafService.typeName}/Submit`, { method: "POST", headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toMatchObject({ code: "invalid_argument", message: expect.stringContaining(named) });
  expect((await leaves.list({}, { headers: AUTHORIZED })).leaves).toEqual([]);
});

test("every RPC of the service is served", async () => {
  const { leaves } = await openDoor();
  for (const method of LeafService.methods) {
    const call = leaves[method.localName as keyof typeof leaves] as (request: object) => unknown;
    const outcome = call({});
    const error = await (method.methodKind === "unary" ? (outcome as Promise<unknown>) : first(outcome as AsyncIterable<unknown>)).then(
      () => undefined,
      fromConnectError,
    );
    expect(error?.code).not.toBe(Code.Unimplemented);
  }
});

async function first(stream: AsyncIterable<unknown>): Promise<unknown> {
  for await (const message of stream) return message;
  return undefined;
}

function enveloped(message: unknown): Buffer {
  const data = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

function unenveloped(bytes: Buffer): Array<{ flags: number; json: { event?: Record<string, unknown> } }> {
  const messages = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 1);
    messages.push({ flags: bytes.readUInt8(at), json: JSON.parse(bytes.toString("utf8", at + 5, at + 5 + length)) });
    at += 5 + length;
  }
  return messages;
}
