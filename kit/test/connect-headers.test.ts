import { Code, ConnectError, type ConnectRouter, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { ExecService } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { formatAddress } from "../address.ts";
import { createLogger } from "../log.ts";
import { serve } from "../serve.ts";
import { startServer } from "../testing/index.ts";
import { createTransport } from "../transport.ts";

const ping = async function* () {
  yield { request: { case: "ping" as const, value: { nonce: 1n } } };
};

/** Headers and trailers of a stream, as a client gets them. */
async function metadataOf(routes: (router: ConnectRouter) => void, interceptors: Interceptor[] = []) {
  const { client } = await startServer({ routes, interceptors });
  let [header, trailer]: [string | null, string | null] = [null, null];
  const call = createClient(ExecService, client()).channel(ping(), {
    onHeader: (headers) => {
      header = headers.get("x-first");
    },
    onTrailer: (trailers) => {
      trailer = trailers.get("x-last");
    },
  });
  for await (const _message of call);
  return { header, trailer };
}

test("a stream's handler sends headers that it sets before its first message, and trailers until its end", async () => {
  const metadata = await metadataOf((router) =>
    router.service(ExecService, {
      channel: async function* (_requests, { responseHeader, responseTrailer }) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        responseHeader.set("x-first", "1");
        yield { response: { case: "pong", value: { nonce: 1n } } };
        responseTrailer.set("x-last", "2");
      },
    }),
  );
  expect(metadata).toEqual({ header: "1", trailer: "2" });
});

test("an interceptor may answer with headers and trailers of its own", async () => {
  const own: Interceptor = (next) => async (request) => ({
    ...(await next(request)),
    header: new Headers({ "content-type": "application/connect+proto", "x-first": "3" }),
    trailer: new Headers({ "x-last": "4" }),
  });
  const metadata = await metadataOf((router) => router.service(ExecService, { channel: async function* () {} }), [own]);
  expect(metadata).toEqual({ header: "3", trailer: "4" });
});

test("an error that came from another service takes none of that service's headers along", async () => {
  const there = await startServer({
    routes: (router) =>
      router.service(ExecService, {
        get: () => {
          throw new ConnectError("no", Code.Aborted, { "x-inner": "1" });
        },
      }),
  });
  const inner = createClient(ExecService, there.client());
  const here = await startServer({ routes: (router) => router.service(ExecService, { get: (request) => inner.get(request) }) });
  const failure = await createClient(ExecService, here.client())
    .get({})
    .catch((error: unknown) => ConnectError.from(error));
  expect(failure).toMatchObject({ code: Code.Aborted, rawMessage: "no" });
  expect((failure as ConnectError).metadata.get("x-inner")).toBeNull();
});

test.each(["ours", "connect-node", "gRPC"] as const)(
  "a request gate answers before anything of the body is read, to a client of %s",
  async (whose) => {
    const called: string[] = [];
    const server = await serve({
      address: { kind: "tcp", host: "127.0.0.1", port: 0 },
      log: createLogger("test", "silent"),
      routes: (router) => router.service(ExecService, { get: () => ({}), run: async function* () {} }),
      interceptors: [
        (next) => (request) => {
          called.push(request.method.name);
          return next(request);
        },
      ],
      requestGate: ({ requestHeader }) => {
        if (!requestHeader.has("x-let-in")) throw new ConnectError("stay out", Code.PermissionDenied);
      },
    });
    const own = createTransport({ address: server.address });
    try {
      const baseUrl = formatAddress(server.address);
      const others = { "connect-node": createConnectTransport({ baseUrl, httpVersion: "1.1" }), gRPC: createGrpcTransport({ baseUrl }) };
      const exec = createClient(ExecService, whose === "ours" ? own : others[whose]);
      const refused = { code: Code.PermissionDenied, rawMessage: "stay out" };
      // It is more than is read, and would be refused as too large.
      await expect(exec.get({ execId: "x".repeat(5 * 1024 * 1024) })).rejects.toMatchObject(refused);
      await expect(exec.run({})[Symbol.asyncIterator]().next()).rejects.toMatchObject(refused);
      expect(called).toEqual([]);
      await exec.get({}, { headers: { "x-let-in": "1" } });
      expect(called).toEqual(["Get"]);
    } finally {
      own.close();
      await server.close(100);
    }
  },
);
