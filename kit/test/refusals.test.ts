import { once } from "node:events";
import * as http2 from "node:http2";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { type Client, credentials, makeGenericClientConstructor, type ServiceError, status } from "@grpc/grpc-js";
import { ExecService } from "@serverless-harness/proto/hands";
import { Health } from "@serverless-harness/proto/health";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { formatAddress } from "../address.ts";
import { ERROR_DOMAIN, fromConnectError } from "../errors.ts";
import { HealthState } from "../health.ts";
import { startServer } from "../testing/index.ts";

const CHECK = "/grpc.health.v1.Health/Check";
const MAX_BYTES = 4 * 1024 * 1024;

/** A server with a unary RPC, one that streams its answers, and one that streams both ways. */
async function start() {
  const health = new HealthState(["a.B"]);
  const { server, client } = await startServer({
    routes: (router) => {
      health.routes(router);
      router.service(ExecService, {});
    },
  });
  return { url: formatAddress(server.address), client };
}

type MakeTransport = (baseUrl: string) => Transport;
const TRANSPORTS: ReadonlyArray<readonly [string, MakeTransport]> = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl, idleConnectionTimeoutMs: 0 })],
  ["gRPC-web, HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  ["gRPC-web with JSON", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false })],
  ["Connect, HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "Connect with JSON, HTTP/2",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false, idleConnectionTimeoutMs: 0 }),
  ],
];

/** The error that a call ends with. */
async function errorOf(call: Promise<unknown> | AsyncIterable<unknown>) {
  try {
    if (Symbol.asyncIterator in call) for await (const _message of call);
    else await call;
  } catch (error) {
    return fromConnectError(error);
  }
  throw new Error("the call was not refused");
}

/** An answer to a request as anything may send it. */
async function post(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string | Uint8Array<ArrayBuffer> = "{}",
  method = "POST",
) {
  const request = method === "GET" ? { method, headers } : { method, headers, body };
  const response = await fetch(url, request);
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? {} : JSON.parse(text) };
}

/** The ErrorInfo in the JSON form of an error. */
const infoIn = (body: { details?: ReadonlyArray<{ type: string; debug?: object }> }) =>
  body.details?.find(({ type }) => type === "google.rpc.ErrorInfo")?.debug;

describe.each(TRANSPORTS)("over %s", (_name, make) => {
  test("a service that is not there is UNIMPLEMENTED, with an ErrorInfo, for a call of any kind", async () => {
    const { server } = await startServer({ routes: () => undefined });
    const transport = make(formatAddress(server.address));
    const health = createClient(Health, transport);
    const exec = createClient(ExecService, transport);
    const unimplemented = { code: status.UNIMPLEMENTED, reason: "unknown_rpc" };
    expect(await errorOf(health.check({}))).toMatchObject(unimplemented);
    expect(await errorOf(health.watch({}))).toMatchObject(unimplemented);
    expect(await errorOf(exec.run({}))).toMatchObject(unimplemented);
  });

  test("an RPC that the service has not made is UNIMPLEMENTED, with an ErrorInfo", async () => {
    const { url } = await start();
    const exec = createClient(ExecService, make(url));
    const unimplemented = { code: status.UNIMPLEMENTED, reason: "unimplemented" };
    expect(await errorOf(exec.get({}))).toMatchObject(unimplemented);
    expect(await errorOf(exec.run({}))).toMatchObject(unimplemented);
  });

  test("a message that is too large is RESOURCE_EXHAUSTED, with an ErrorInfo, for a call of any kind", async () => {
    const { url } = await start();
    const health = createClient(Health, make(url));
    const service = "x".repeat(MAX_BYTES);
    const tooLarge = { code: status.RESOURCE_EXHAUSTED, reason: "message_too_large" };
    expect(await errorOf(health.check({ service }))).toMatchObject(tooLarge);
    expect(await errorOf(health.watch({ service }))).toMatchObject(tooLarge);
  });
});

test("our own client learns of the same reasons", async () => {
  const { client } = await start();
  const health = createClient(Health, client());
  const service = "x".repeat(MAX_BYTES);
  expect(await errorOf(health.check({ service }))).toMatchObject({ reason: "message_too_large" });
  expect(await errorOf(health.watch({ service }))).toMatchObject({ reason: "message_too_large" });
});

describe("grpc-js", () => {
  /** Calls of RPCs that nobody serves, of each kind, with bytes for messages. */
  async function open() {
    const { url } = await start();
    const bytes = (value: Buffer): Buffer => value;
    const rpc = { requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes };
    const at = (name: string, requestStream: boolean, responseStream: boolean) => ({
      [name]: { ...rpc, path: `/none.v1.None/${name}`, requestStream, responseStream },
    });
    const None = makeGenericClientConstructor(
      { ...at("Unary", false, false), ...at("Down", false, true), ...at("Up", true, false), ...at("Both", true, true) },
      "None",
    );
    const client: Client & Record<string, (...args: unknown[]) => NodeJS.EventEmitter> = new None(
      new URL(url).host,
      credentials.createInsecure(),
    ) as never;
    onTestFinished(() => client.close());
    return client;
  }

  test.each(["Unary", "Down", "Up", "Both"])("gets UNIMPLEMENTED with trailers for an unknown RPC: %s", async (kind) => {
    const client = await open();
    const error = await new Promise<ServiceError>((resolve) => {
      const takesOne = kind === "Unary" || kind === "Down";
      const answersOnce = kind === "Unary" || kind === "Up";
      const call = client[kind]?.(...(takesOne ? [Buffer.alloc(1)] : []), ...(answersOnce ? [resolve] : []));
      if (!answersOnce) call?.on("error", resolve).on("data", () => undefined);
      if (!takesOne) (call as unknown as NodeJS.WritableStream).write(Buffer.alloc(1));
    });
    expect(error).toMatchObject({ code: status.UNIMPLEMENTED });
    expect(decodeURIComponent(error.details)).toContain(`/none.v1.None/${kind} is no RPC of this service`);
    expect(error.metadata.get("grpc-status-details-bin")).toHaveLength(1);
  });
});

describe("a plain JSON call", () => {
  test("without a content type is taken as JSON, over both versions of HTTP", async () => {
    const { url } = await start();
    const body = new TextEncoder().encode('{"service": "a.B"}');
    expect(await post(`${url}${CHECK}`, {}, body)).toMatchObject({ status: 200, body: { status: "SERVING" } });

    const session = http2.connect(url);
    onTestFinished(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": CHECK });
    stream.end(body);
    let text = "";
    for await (const chunk of stream.setEncoding("utf8")) text += chunk;
    expect(JSON.parse(text)).toEqual({ status: "SERVING" });
  });

  const refused: ReadonlyArray<readonly [string, string, Record<string, string>, string, number, string, string]> = [
    ["broken JSON", CHECK, { "content-type": "application/json" }, "{", 400, "invalid_argument", "malformed_message"],
    ["an unknown field", CHECK, { "content-type": "application/json" }, '{"x": 1}', 400, "invalid_argument", "malformed_message"],
    ["bytes that are no message", CHECK, { "content-type": "application/proto" }, "\xff", 400, "invalid_argument", "malformed_message"],
    ["another content type", CHECK, { "content-type": "text/plain" }, "{}", 415, "unknown", "unsupported_content_type"],
    [
      "the content type of a stream",
      CHECK,
      { "content-type": "application/connect+json" },
      "{}",
      415,
      "unknown",
      "unsupported_content_type",
    ],
    [
      "a stream by a plain call",
      "/grpc.health.v1.Health/Watch",
      { "content-type": "application/json" },
      "{}",
      415,
      "unknown",
      "unsupported_content_type",
    ],
    ["a stream without a content type", "/grpc.health.v1.Health/Watch", {}, "{}", 415, "unknown", "unsupported_content_type"],
    [
      "a compressed message",
      CHECK,
      { "content-type": "application/json", "content-encoding": "br" },
      "{}",
      501,
      "unimplemented",
      "unimplemented",
    ],
    [
      "a deadline that is none",
      CHECK,
      { "content-type": "application/json", "connect-timeout-ms": "soon" },
      "{}",
      400,
      "invalid_argument",
      "malformed_message",
    ],
    [
      "both ways over HTTP/1.1",
      "/harness.hands.v1.ExecService/Channel",
      { "content-type": "application/connect+json" },
      "",
      505,
      "unimplemented",
      "http2_needed",
    ],
    ["an unknown method", "/grpc.health.v1.Health/Nope", { "content-type": "application/json" }, "{}", 404, "unimplemented", "unknown_rpc"],
    ["an unknown service, without a content type", "/none.v1.None/Nope", {}, "{}", 404, "unimplemented", "unknown_rpc"],
  ];
  test.each(refused)("is told what is wrong: %s", async (_what, path, headers, body, code, name, reason) => {
    const { url } = await start();
    const answer = await post(`${url}${path}`, headers, Buffer.from(body, "latin1"));
    expect(answer).toMatchObject({ status: code, body: { code: name, message: expect.stringMatching(/\w/) } });
    // Connect's form of an error, but for who speaks another language altogether.
    expect(answer.headers.get("content-type")).toBe(
      headers["content-type"] === "text/plain" ? "application/problem+json" : "application/json",
    );
    expect(infoIn(answer.body)).toMatchObject({ reason, domain: ERROR_DOMAIN });
  });

  test("by another method is told to POST", async () => {
    const { url } = await start();
    const answer = await post(`${url}${CHECK}`, {}, "", "GET");
    expect(answer).toMatchObject({ status: 405, body: { code: "unknown" } });
    expect(answer.headers.get("allow")).toBe("POST");
    expect(infoIn(answer.body)).toMatchObject({ reason: "method_not_allowed" });
  });
});

describe("a stream whose request is no message", () => {
  const envelope = (flags: number, length: number, data: string): Buffer =>
    Buffer.concat([Buffer.from([flags, 0, 0, 0, length]), Buffer.from(data, "latin1")]);
  const TYPES = ["application/grpc-web+proto", "application/connect+proto", "application/connect+json"];
  const REQUESTS = [
    ["one that is longer than what comes", envelope(0, 9, "{}")],
    ["less than the head of one", Buffer.from([0, 0])],
    ["bytes that are none", envelope(0, 2, "\xff\xff")],
  ] as const;

  test.each(TYPES.flatMap((type) => REQUESTS.map(([what, body]) => [type, what, body] as const)))(
    "is refused as the client's fault: %s, %s",
    async (type, _what, body) => {
      const { url } = await start();
      const response = await fetch(`${url}/grpc.health.v1.Health/Watch`, { method: "POST", headers: { "content-type": type }, body });
      const text = Buffer.from(await response.arrayBuffer()).toString("latin1");
      expect(text).toMatch(/"code":"invalid_argument"|grpc-status: 3\r/);
      expect(text).not.toContain("internal");
    },
  );

  test.each(TYPES)("is INTERNAL, as the protocols have it, if it is compressed and nothing said so: %s", async (type) => {
    const { url } = await start();
    const body = envelope(1, 2, "{}");
    const response = await fetch(`${url}/grpc.health.v1.Health/Watch`, { method: "POST", headers: { "content-type": type }, body });
    const text = Buffer.from(await response.arrayBuffer()).toString("latin1");
    expect(text).toMatch(/"code":"internal"|grpc-status: 13\r/);
  });

  test("is refused in gRPC's own form if its codec is not known", async () => {
    const { url } = await start();
    const headers = { "content-type": "application/grpc-web+foo" };
    const response = await fetch(`${url}${CHECK}`, { method: "POST", headers, body: envelope(0, 0, "") });
    expect(Buffer.from(await response.arrayBuffer()).toString("latin1")).toMatch(/grpc-status: 2\r/);
  });
});

test("a HEAD for an RPC is answered without a body, over HTTP/2 as well, and nothing breaks by it", async () => {
  const lines: string[] = [];
  const log = pino({ level: "info" }, { write: (line: string) => void lines.push(line) });
  const { server } = await startServer({ routes: (router) => new HealthState([]).routes(router), log });
  const session = http2.connect(formatAddress(server.address));
  onTestFinished(() => session.destroy());
  for (const path of [CHECK, "/none.v1.None/Nope"]) {
    const stream = session.request({ ":method": "HEAD", ":path": path });
    const [head] = (await once(stream, "response")) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader];
    expect(head[":status"]).toBe(path === CHECK ? 405 : 404);
    stream.resume();
    await once(stream, "close");
  }
  expect(lines).toEqual([]);
});
