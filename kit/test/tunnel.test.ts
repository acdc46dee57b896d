import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import * as http2 from "node:http2";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { expect, onTestFinished, test, vi } from "vitest";
import { formatAddress } from "../address.ts";
import { fromConnectError, type HarnessError } from "../errors.ts";
import { type Server, serve } from "../serve.ts";
import { createAuthority, temporaryDirectory } from "../testing/index.ts";
import { connected, dial, healthAt, log, startHidden, startRelay, startRouter } from "./fixtures/tunnels.ts";

async function errorOf(call: Promise<unknown>): Promise<HarnessError> {
  return fromConnectError(
    await call.then(
      () => new Error("it was answered"),
      (error: unknown) => error,
    ),
  );
}

/** A raw request over HTTP/2, by whose stream a test can do what no client would. */
async function rawRequest(server: Server, path: string, method = "POST"): Promise<http2.ClientHttp2Stream> {
  const session = http2.connect(formatAddress(server.address), { maxSessionMemory: 256 }).on("error", () => undefined);
  onTestFinished(() => session.destroy());
  return session.request({ ":method": method, ":path": path }, { endStream: method === "GET" });
}

test("a server that nobody can connect to answers calls and streams over the connection that it made", async () => {
  const relay = await startRelay();
  dial(await startHidden(), relay.server.address);
  await connected(relay);
  expect(await healthAt(relay.server).check({})).toMatchObject({ status: Status.SERVING });
  for await (const { status } of healthAt(relay.server).watch({})) {
    expect(status).toBe(Status.SERVING);
    break;
  }
});

test("gRPC's trailers come through, those of an answer without a message too", async () => {
  const relay = await startRelay();
  dial(await startHidden(), relay.server.address);
  await connected(relay);
  const client = createClient(Health, createGrpcTransport({ baseUrl: `${relay.at}/to/laptop` }));
  expect(await client.check({})).toMatchObject({ status: Status.SERVING });
  const refused = await client.check({ service: "no.such.Service" }).catch((error: unknown) => ConnectError.from(error));
  expect(refused).toMatchObject({ code: Code.NotFound });
});

test("bodies come through whole both ways, also while their reader is slow", async () => {
  const relay = await startRelay();
  dial(await startHidden((request, response) => void request.pipe(response)), relay.server.address);
  await connected(relay);
  const sent = randomBytes(24 * 1024 * 1024);
  const stream = await rawRequest(relay.server, "/to/laptop/echo");
  stream.end(sent);
  const hash = createHash("sha256");
  for await (const chunk of stream) {
    hash.update(chunk as Buffer);
    await new Promise(setImmediate);
  }
  expect(hash.digest("hex")).toBe(createHash("sha256").update(sent).digest("hex"));
});

test("a caller that breaks off in the middle of a body is no end of that body", async () => {
  const relay = await startRelay();
  const seen = Promise.withResolvers<string>();
  const hidden = await startHidden((request) => {
    if (!("stream" in request)) throw new Error("HTTP/2 is expected");
    const { stream } = request;
    stream.once("data", () => caller.destroy());
    stream.once("aborted", () => seen.resolve("broken off"));
    stream.once("end", () => seen.resolve(stream.aborted ? "broken off" : "a whole body"));
    stream.on("error", () => undefined);
  });
  dial(hidden, relay.server.address);
  await connected(relay);
  const caller = (await rawRequest(relay.server, "/to/laptop/upload")).on("error", () => undefined);
  caller.write("half a file");
  expect(await seen.promise).toBe("broken off");
});

test("a call whose server goes away before its answer is UNAVAILABLE and says that it may have been taken", async () => {
  const relay = await startRelay();
  const arrived = Promise.withResolvers<void>();
  const hidden = await serve({
    address: { kind: "unix", path: join(await temporaryDirectory(), "hidden.sock") },
    log,
    routes: (router) =>
      router.service(Health, {
        check: async () => {
          arrived.resolve();
          return await new Promise<never>(() => undefined);
        },
      }),
  });
  dial(hidden, relay.server.address);
  await connected(relay);
  const call = errorOf(healthAt(relay.server).check({}));
  await arrived.promise;
  await hidden.close(0);
  expect(await call).toMatchObject({ code: Code.Unavailable, reason: "tunnel_lost" });
});

test("an answer whose server goes away in its middle is broken off, not ended", async () => {
  const relay = await startRelay();
  const hidden = await startHidden((_request, response) => {
    response.writeHead(200);
    response.write("half an answer");
  });
  dial(hidden, relay.server.address);
  await connected(relay);
  const stream = await rawRequest(relay.server, "/to/laptop/slow", "GET");
  const ended = Promise.withResolvers<string>();
  stream.once("data", () => void hidden.close(0));
  stream.once("end", () => ended.resolve("whole"));
  stream.once("error", () => ended.resolve("broken off"));
  expect(await ended.promise).toBe("broken off");
});

test("a relay that was restarted is dialled again", async () => {
  const first = await startRelay();
  dial(await startHidden(), first.server.address);
  await connected(first);
  await first.close();
  const second = await startRelay({ address: first.server.address });
  await connected(second);
  expect(await healthAt(second.server).check({})).toMatchObject({ status: Status.SERVING });
});

test("a refused server knows why, and comes in as soon as its token is right", async () => {
  const relay = await startRelay();
  let word = "sim sala bim";
  const dialOut = dial(await startHidden(), relay.server.address, { word: () => word });
  await vi.waitFor(() => expect(dialOut.problem).toBe("it answered 401: say the word"), { timeout: 30_000 });
  expect(relay.tunnels.servers()).toEqual([]);
  word = "open sesame";
  await vi.waitFor(() => expect(dialOut.problem).toBeUndefined(), { timeout: 30_000 });
  expect(relay.tunnels.servers()).toEqual([{ name: "laptop", owner: "acme" }]);
});

test("a second server of one name is refused while the first one lives, and takes its place after it", async () => {
  const relay = await startRelay();
  const holder = await startHidden();
  const first = dial(holder, relay.server.address);
  await connected(relay);
  const second = dial(await startHidden(), relay.server.address);
  await vi.waitFor(() => expect(second.problem).toMatch(/another server is connected as laptop/), { timeout: 30_000 });
  expect(relay.tunnels.servers()).toEqual([{ name: "laptop", owner: "acme" }]);
  await first.close();
  await holder.close(0);
  await vi.waitFor(() => expect(second.problem).toBeUndefined(), { timeout: 30_000 });
});

test("a server whose machine went away without a word makes room for its successor, and half an answer of it is broken off", async () => {
  const relay = await startRelay();
  const router = await startRouter(relay.server);
  const hidden = await startHidden((_request, response) => {
    response.writeHead(200);
    response.write("half an answer");
  });
  const first = dial(hidden, router.address);
  await connected(relay);
  const stream = await rawRequest(relay.server, "/to/laptop/slow", "GET");
  const ended = Promise.withResolvers<string>();
  stream.once("end", () => ended.resolve("whole"));
  stream.once("error", () => ended.resolve("broken off"));
  await once(stream, "data");
  router.forget();
  await first.close();
  const second = dial(await startHidden(), relay.server.address);
  await vi.waitFor(() => expect(second.problem).toBeUndefined(), { timeout: 30_000 });
  expect(await healthAt(relay.server).check({})).toMatchObject({ status: Status.SERVING });
  expect(await ended.promise).toBe("broken off");
});

test("a tunnel may be idle for as long as it likes, which other connections may not", async () => {
  const relay = await startRelay({ patienceMs: 200 });
  dial(await startHidden(undefined, 200), relay.server.address);
  await connected(relay);
  const idle = http2.connect(relay.at);
  const request = idle.request({ ":path": "/to/nobody/grpc.health.v1.Health/Check" }).resume();
  await once(request, "close");
  await once(idle, "close");
  expect(relay.tunnels.servers()).toEqual([{ name: "laptop", owner: "acme" }]);
  expect(await healthAt(relay.server).check({})).toMatchObject({ status: Status.SERVING });
});

test("over TLS a server dials the relay that it knows the authority of, and no other", async () => {
  const authority = await createAuthority();
  const tls = authority.issue("localhost");
  const relay = await startRelay({ address: { kind: "tcp", host: "localhost", port: 0, tls: true }, tls });
  const stranger = dial(await startHidden(), relay.server.address, { name: "stranger" });
  await vi.waitFor(() => expect(stranger.problem).toMatch(/certificate/), { timeout: 30_000 });
  dial(await startHidden(), relay.server.address, { ca: authority.ca });
  await connected(relay);
  expect(relay.tunnels.servers()).toEqual([{ name: "laptop", owner: "acme" }]);
});

test("a name that nobody dialled in by is UNAVAILABLE, over HTTP/1.1 the path is refused", async () => {
  const relay = await startRelay();
  expect(await errorOf(healthAt(relay.server).check({}))).toMatchObject({ code: Code.Unavailable, reason: "not_attached" });
  dial(await startHidden(), relay.server.address);
  await connected(relay);
  const response = await fetch(`${relay.at}/to/laptop/grpc.health.v1.Health/Check`, { method: "POST", body: "{}" });
  expect(await response.json()).toMatchObject({ code: "invalid_argument", message: expect.stringContaining("HTTP/2") });
});

test("a client that asks for another protocol is answered as if it had not", async () => {
  const relay = await startRelay();
  const asked = httpRequest(`${relay.at}/to/nobody/grpc.health.v1.Health/Check`, {
    method: "POST",
    headers: {
      connection: "upgrade, http2-settings",
      upgrade: "h2c",
      "http2-settings": "AAMAAABkAAQAAP__",
      "content-type": "application/json",
    },
  });
  asked.end("{}");
  const [response] = await once(asked, "response");
  expect(await text(response)).toContain("is not connected to this relay");
});

test("a relay that stops takes no server any more, and lets go of those that it has", async () => {
  const relay = await startRelay();
  const dialOut = dial(await startHidden(), relay.server.address);
  await connected(relay);
  relay.tunnels.close();
  await vi.waitFor(() => expect(dialOut.problem).toMatch(/the relay (stops|closed)/), { timeout: 30_000 });
});
