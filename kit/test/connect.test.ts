import { once } from "node:events";
import * as http2 from "node:http2";
import { type Client, Code, type ConnectRouter, createClient, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { type ChannelRequest, ExecService } from "@serverless-harness/proto/hands";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Address, formatAddress } from "../address.ts";
import { EnvelopeReader, envelopeHeader } from "../connect/envelope.ts";
import { fromConnectError, HarnessError } from "../errors.ts";
import { startServer } from "../testing/index.ts";

const CHANNEL_PATH = "/harness.hands.v1.ExecService/Channel";

type Channel = (requests: AsyncIterable<ChannelRequest>, context: HandlerContext) => AsyncIterable<{ response: Answer }>;
type Answer = { case: "pong"; value: { nonce: bigint } } | { case: "goAway"; value: { message: string } };

const pong = (nonce: bigint): { response: Answer } => ({ response: { case: "pong", value: { nonce } } });
const ping = (nonce: bigint) => ({ request: { case: "ping" as const, value: { nonce } } });

/** Answers each ping. */
const echo: Channel = async function* (requests) {
  for await (const { request } of requests) if (request.case === "ping") yield pong(request.value.nonce);
};

async function serving(channel: Channel, interceptors: Interceptor[] = []) {
  const routes = (router: ConnectRouter): void => void router.service(ExecService, { channel });
  const started = await startServer({ routes, interceptors });
  return { ...started, exec: createClient(ExecService, started.client()) };
}

async function* pings(count: number) {
  for (let nonce = 1n; nonce <= count; nonce++) yield ping(nonce);
}

async function noncesOf(responses: AsyncIterable<{ response: { case?: string | undefined; value?: unknown } }>): Promise<bigint[]> {
  const nonces: bigint[] = [];
  for await (const { response } of responses) nonces.push((response.value as { nonce: bigint }).nonce);
  return nonces;
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}

const upTo = (count: number): bigint[] => Array.from({ length: count }, (_, i) => BigInt(i + 1));

function failureOf(responses: AsyncIterable<unknown>): Promise<HarnessError> {
  return collect(responses).then(
    () => Promise.reject(new Error("the stream ended well")),
    (error: unknown) => fromConnectError(error),
  );
}

describe("a bidirectional stream", () => {
  it("brings every message in order, and ends with the last", async () => {
    const { exec } = await serving(echo);
    expect(await noncesOf(exec.channel(pings(5000)))).toEqual(upTo(5000));
  });

  it("is understood by connect-node, by gRPC, and by ours against connect-node's way of serving it", async () => {
    const { server, client } = await serving(echo);
    const baseUrl = formatAddress(server.address);
    for (const transport of [
      createConnectTransport({ baseUrl, httpVersion: "2" }),
      createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
      createGrpcTransport({ baseUrl }),
    ])
      expect(await noncesOf(createClient(ExecService, transport).channel(pings(100)))).toEqual(upTo(100));
    // A deadline is left to connect-node, on both sides.
    expect(await noncesOf(createClient(ExecService, client()).channel(pings(100), { timeoutMs: 30_000 }))).toEqual(upTo(100));
  });

  it("answers while the client still sends", async () => {
    const { exec } = await serving(echo);
    const asked = Promise.withResolvers<void>();
    const responses = exec
      .channel(
        (async function* () {
          yield ping(1n);
          await asked.promise;
          yield ping(2n);
        })(),
      )
      [Symbol.asyncIterator]();
    expect((await responses.next()).value?.response.value).toMatchObject({ nonce: 1n });
    asked.resolve();
    expect((await responses.next()).value?.response.value).toMatchObject({ nonce: 2n });
    expect((await responses.next()).done).toBe(true);
  });

  it("runs interceptors around it, and translates what they and the handler throw", async () => {
    const seen: string[] = [];
    const interceptor: Interceptor = (next) => (request) => {
      seen.push(`${request.method.name} ${request.header.get("authorization")}`);
      if (request.header.get("authorization") === null)
        throw new HarnessError(Code.Unauthenticated, "unauthenticated", "a token is needed");
      return next(request);
    };
    const { exec } = await serving(
      async function* () {
        yield pong(1n);
        throw new HarnessError(Code.FailedPrecondition, "stale_epoch", "there is a newer owner", { metadata: { epoch: "3" } });
      },
      [interceptor],
    );
    expect(await failureOf(exec.channel(pings(1)))).toMatchObject({ code: Code.Unauthenticated, reason: "unauthenticated" });
    const failure = await failureOf(exec.channel(pings(1), { headers: { authorization: "Bearer x" } }));
    expect(failure).toMatchObject({ code: Code.FailedPrecondition, reason: "stale_epoch", metadata: { epoch: "3" } });
    expect(seen).toEqual(["Channel null", "Channel Bearer x"]);
  });

  it("tells the handler that the client has left", async () => {
    const left = Promise.withResolvers<boolean>();
    const { exec } = await serving(async function* (requests, { signal }) {
      signal.addEventListener("abort", () => left.resolve(signal.aborted));
      yield pong(1n);
      for await (const _ of requests) yield pong(2n);
    });
    const leaving = new AbortController();
    const responses = exec
      .channel(
        (async function* () {
          yield ping(1n);
          await new Promise(() => undefined);
        })(),
        { signal: leaving.signal },
      )
      [Symbol.asyncIterator]();
    await responses.next();
    await responses.next();
    leaving.abort();
    await expect(responses.next()).rejects.toMatchObject({ code: Code.Canceled });
    expect(await left.promise).toBe(true);
  });

  it("fails as unavailable where the connection breaks, also before its first answer", async () => {
    const { exec, server } = await serving(async function* (_, { signal }) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      yield pong(1n);
    });
    const failed = failureOf(exec.channel(pings(1)));
    while (server.connections() === 0) await new Promise((resolve) => setImmediate(resolve));
    await server.close(0);
    expect((await failed).code).toBe(Code.Unavailable);
  });

  it("holds a handler up whose client does not read, and gives it everything when it does", async () => {
    const total = 50_000;
    let sent = 0;
    const { exec } = await serving(async function* () {
      for (; sent < total; sent++) yield { response: { case: "goAway", value: { message: "x".repeat(1000) } } };
    });
    let got = 0;
    let lead = 0;
    for await (const _ of exec.channel(pings(1))) {
      got++;
      lead = Math.max(lead, sent - got);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(got).toBe(total);
    // What the windows of 4 MiB hold, and what lies in buffers.
    expect(lead).toBeLessThan(6000);
  });
});

describe("a call that its client gives up", () => {
  async function givenUp(call: (exec: Client<typeof ExecService>, signal: AbortSignal) => Promise<unknown>) {
    const begun = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    const wait = (context: HandlerContext): Promise<void> => {
      context.signal.addEventListener("abort", () => left.resolve());
      begun.resolve();
      return left.promise;
    };
    const routes = (router: ConnectRouter): void =>
      void router.service(ExecService, {
        get: (_, context) => wait(context).then(() => ({})),
        run: async function* (_, context) {
          await wait(context);
          yield {};
        },
      });
    const { client } = await startServer({ routes });
    const leaving = new AbortController();
    const calling = call(createClient(ExecService, client()), leaving.signal);
    await begun.promise;
    leaving.abort();
    await expect(calling).rejects.toMatchObject({ code: Code.Canceled });
    await left.promise;
  }

  it("tells the handler of a unary call", async () => {
    await givenUp((exec, signal) => exec.get({}, { signal }));
  });

  it("tells the handler of a stream whose request is long over", async () => {
    await givenUp((exec, signal) => collect(exec.run({}, { signal })));
  });
});

describe("a request that breaks off", () => {
  it.each([
    ["reset", new Error("given up")],
    ["reset without an error", undefined],
  ])("by a %s is never taken for one that came to its end", async (_, error) => {
    const seen: string[] = [];
    const over = Promise.withResolvers<void>();
    const channel: Channel = async function* (requests) {
      try {
        for await (const { request } of requests) {
          seen.push(String(request.case));
          yield pong(1n);
        }
        seen.push("end");
      } catch (error) {
        seen.push(`${fromConnectError(error).code}`);
      } finally {
        over.resolve();
      }
    };
    const { server } = await serving(channel);
    const session = http2.connect(formatAddress(server.address));
    const stream = session.request({ ":method": "POST", ":path": CHANNEL_PATH, "content-type": "application/connect+proto" });
    stream.on("error", () => undefined);
    // An empty request, whole.
    stream.write(envelopeHeader(0, 0));
    await once(stream, "data");
    stream.destroy(error);
    await over.promise;
    session.destroy();
    expect(seen).toEqual(["undefined", String(Code.Canceled)]);
  });
});

describe("a client that gives its request up", () => {
  it.each(["ours", "connect-node's"])("%s, never looks as if the request was whole", async (whose) => {
    for (let round = 0; round < 20; round++) {
      const ends: string[] = [];
      const over = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const { client, server } = await serving(async function* (requests) {
        try {
          for await (const _ of requests) begun.resolve();
          ends.push("whole");
        } catch (error) {
          ends.push(Code[fromConnectError(error).code]);
        } finally {
          over.resolve();
        }
        yield pong(1n);
      });
      const transport = whose === "ours" ? client() : createConnectTransport({ baseUrl: formatAddress(server.address), httpVersion: "2" });
      const leaving = new AbortController();
      const requests = async function* () {
        yield ping(1n);
        await new Promise(() => undefined);
      };
      const calling = collect(createClient(ExecService, transport).channel(requests(), { signal: leaving.signal }));
      await begun.promise;
      leaving.abort();
      await expect(calling).rejects.toThrow();
      await over.promise;
      expect(ends).toEqual(["Canceled"]);
    }
  });
});

describe("a unary call", () => {
  it("brings answers and errors with their details, to and from connect-node as well", async () => {
    const routes = (router: ConnectRouter): void =>
      void router.service(ExecService, {
        get: ({ execId }, context) => {
          context.responseHeader.set("x-seen", context.requestHeader.get("x-asked") ?? "");
          context.responseTrailer.set("x-last", "1");
          if (execId === "there") return { exec: { execId } };
          throw new HarnessError(Code.NotFound, "unknown_exec", `no exec ${execId}`, { metadata: { exec: execId } });
        },
      });
    const { client, server } = await startServer({ routes });
    const baseUrl = formatAddress(server.address);
    for (const transport of [client(), createConnectTransport({ baseUrl, httpVersion: "2" }), createGrpcTransport({ baseUrl })]) {
      const exec = createClient(ExecService, transport);
      let seen: Array<string | null> = [];
      const answer = await exec.get(
        { execId: "there" },
        {
          headers: { "x-asked": "yes" },
          onHeader: (headers) => seen.push(headers.get("x-seen")),
          onTrailer: (trailers) => seen.push(trailers.get("x-last")),
        },
      );
      expect(answer.exec?.execId).toBe("there");
      expect(seen).toEqual(["yes", "1"]);
      seen = [];
      const failure = await exec.get({ execId: "gone" }).catch((error: unknown) => fromConnectError(error));
      expect(failure).toMatchObject({ code: Code.NotFound, reason: "unknown_exec", message: "no exec gone", metadata: { exec: "gone" } });
    }
  });

  it("refuses a request over the limit, and one that is no message", async () => {
    const routes = (router: ConnectRouter): void => void router.service(ExecService, { get: () => ({}) });
    const { client, server } = await startServer({ routes });
    const exec = createClient(ExecService, client());
    await expect(exec.get({ execId: "x".repeat(5_000_000) })).rejects.toMatchObject({ code: Code.ResourceExhausted });
    expect(await rawCall(server.address, "Get", "application/proto", Buffer.from([255, 255]))).toContain('"code":"invalid_argument"');
    await exec.get({});
  });
});

describe("bytes that are no message", () => {
  const cases: Record<string, { bytes: Buffer; code: string }> = {
    "a message that can't be parsed": {
      bytes: Buffer.concat([envelopeHeader(0, 3), Buffer.from([255, 255, 255])]),
      code: "invalid_argument",
    },
    "a compressed one": { bytes: Buffer.concat([envelopeHeader(1, 1), Buffer.from([0])]), code: "internal" },
    "a message over the limit": { bytes: envelopeHeader(0, 2 ** 31), code: "resource_exhausted" },
    "a stream that ends within a message": { bytes: Buffer.concat([envelopeHeader(0, 100), Buffer.alloc(5)]), code: "invalid_argument" },
    "a stream that ends within a header": { bytes: Buffer.from([0, 0]), code: "invalid_argument" },
  };
  it.each(Object.entries(cases))("%s is refused, and the server goes on", async (_, { bytes, code }) => {
    const { server, exec } = await serving(echo);
    expect(await rawStream(server.address, bytes)).toContain(`"code":"${code}"`);
    expect(await noncesOf(exec.channel(pings(3)))).toEqual(upTo(3));
  });
});

describe("envelopes", () => {
  it("come out as they went in, wherever the stream is cut", () => {
    const payloads = fc.array(fc.tuple(fc.constantFrom(0, 2), fc.uint8Array({ maxLength: 300 })), { maxLength: 20 });
    void fc.assert(
      fc.property(payloads, fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 }), (sent, sizes) => {
        const bytes = Buffer.concat(sent.flatMap(([flags, data]) => [envelopeHeader(flags, data.length), data]));
        const reader = new EnvelopeReader(300);
        const got: Array<[number, Uint8Array]> = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          for (const { flags, data } of reader.push(bytes.subarray(at, at + size))) got.push([flags, Uint8Array.from(data)]);
          at += size;
        }
        expect(got).toEqual(sent.map(([flags, data]) => [flags, Uint8Array.from(data)]));
        expect(reader.isPartial).toBe(false);
      }),
    );
  });
});

/** What the server says to a stream of these bytes. */
function rawStream(address: Address, bytes: Buffer): Promise<string> {
  return rawCall(address, "Channel", "application/connect+proto", bytes);
}

async function rawCall(address: Address, method: string, contentType: string, bytes: Buffer): Promise<string> {
  const session = http2.connect(formatAddress(address));
  const stream = session.request({
    ":method": "POST",
    ":path": `/harness.hands.v1.ExecService/${method}`,
    "content-type": contentType,
  });
  stream.end(bytes);
  const chunks = await collect<Buffer>(stream);
  session.destroy();
  return Buffer.concat(chunks).toString("latin1");
}
