import { writeFile } from "node:fs/promises";
import * as http2 from "node:http2";
import * as net from "node:net";
import { join } from "node:path";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { describe, expect, it } from "vitest";
import { formatAddress } from "../address.ts";
import { HarnessError } from "../errors.ts";
import { HealthState } from "../health.ts";
import { createLogger } from "../log.ts";
import { serve } from "../serve.ts";
import { startServer, temporaryDirectory } from "../testing/index.ts";

const log = createLogger("test", "silent");

async function startHealth() {
  const health = new HealthState(["a.B"]);
  const started = await startServer({
    routes: (router) => health.routes(router),
    fallback: (request, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.end(`HTTP/${request.httpVersion} ${request.url}`);
    },
  });
  return { ...started, health, url: formatAddress(started.server.address) };
}

describe("one port", () => {
  it("answers Connect, gRPC and gRPC-web", async () => {
    const { client, url } = await startHealth();
    const transports: Transport[] = [
      client(),
      createGrpcTransport({ baseUrl: url, idleConnectionTimeoutMs: 0 }),
      createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1" }),
    ];
    for (const transport of transports) {
      expect((await createClient(Health, transport).check({ service: "a.B" })).status).toBe(Status.SERVING);
    }
  });

  it("answers plain HTTP with JSON, of both versions", async () => {
    const { url } = await startHealth();
    const response = await fetch(`${url}/grpc.health.v1.Health/Check`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(await response.json()).toEqual({ status: "SERVING" });
    expect(await (await fetch(`${url}/other`)).text()).toBe("HTTP/1.1 /other");
    expect(await http2Get(url, "/other")).toBe("HTTP/2.0 /other");
  });

  it("refuses a request that no handler could read, and goes on serving", async () => {
    const { url, server } = await startHealth();
    if (server.address.kind !== "tcp") throw new Error("a TCP port is expected");
    const answer = await raw(server.address.port, "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: [[[\r\nConnection: close\r\n\r\n");
    expect(answer).toMatch(/^HTTP\/1.1 400/);
    expect(await raw(server.address.port, "\x00\x01garbage\r\n\r\n")).toMatch(/^HTTP\/1.1 400|^$/);
    expect((await fetch(url)).status).toBe(200);
  });

  it("refuses a message over its limit", async () => {
    const { client } = await startHealth();
    const big = createClient(Health, client()).check({ service: "x".repeat(5 * 1024 * 1024) });
    await expect(big).rejects.toMatchObject({ code: Code.ResourceExhausted });
  });

  it("ends streams and lets a call in flight finish when it closes", async () => {
    const health = new HealthState([]);
    const server = await serve({ address: { kind: "tcp", host: "127.0.0.1", port: 0 }, log, routes: (router) => health.routes(router) });
    const transport = createGrpcTransport({ baseUrl: formatAddress(server.address), idleConnectionTimeoutMs: 0 });
    const states: Status[] = [];
    const watching = (async () => {
      for await (const { status } of createClient(Health, transport).watch({})) {
        states.push(status);
        if (status === Status.SERVING) health.stopServing();
      }
    })();
    await watching;
    await server.close();
    expect([states, server.connections()]).toEqual([[Status.SERVING, Status.NOT_SERVING], 0]);
  });

  it("cuts what does not end by itself when it closes", async () => {
    const health = new HealthState([]);
    const server = await serve({ address: { kind: "tcp", host: "127.0.0.1", port: 0 }, log, routes: (router) => health.routes(router) });
    const transport = createGrpcTransport({ baseUrl: formatAddress(server.address), idleConnectionTimeoutMs: 0 });
    const stream = createClient(Health, transport).watch({})[Symbol.asyncIterator]();
    await stream.next();
    const cut = stream.next().then(
      () => "ended",
      (error: unknown) => ConnectError.from(error).code,
    );
    await server.close(50);
    expect(await cut).not.toBe("ended");
  });
});

describe("a Unix socket", () => {
  it("replaces one that a killed process left behind", async () => {
    const path = join(await temporaryDirectory(), "s.sock");
    await writeFile(path, "");
    const { client } = await startServer({ address: { kind: "unix", path }, routes: (router) => new HealthState([]).routes(router) });
    expect((await createClient(Health, client()).check({})).status).toBe(Status.SERVING);
  });

  it("is not taken from a process that listens on it", async () => {
    const address = { kind: "unix", path: join(await temporaryDirectory(), "s.sock") } as const;
    await startServer({ address, routes: () => undefined });
    await expect(serve({ address, log, routes: () => undefined })).rejects.toThrow(/in use by another process/);
  });
});

describe("a port in use", () => {
  it("is named, with what to do", async () => {
    const { server } = await startHealth();
    await expect(serve({ address: server.address, log, routes: () => undefined })).rejects.toThrow(
      /127\.0\.0\.1:\d+ is in use.*choose another/,
    );
  });
});

describe("the boundary", () => {
  it("translates what a handler throws, in calls and in streams", async () => {
    const refuse = (): never => {
      throw new HarnessError(Code.NotFound, "nothing_here", "there is nothing here");
    };
    const { client } = await startServer({
      routes: (router) =>
        router.service(Health, {
          check: refuse,
          watch: async function* () {
            yield refuse();
          },
        }),
    });
    const health = createClient(Health, client());
    await expect(health.check({})).rejects.toMatchObject({ code: Code.NotFound, rawMessage: "there is nothing here" });
    await expect(health.watch({})[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: Code.NotFound });
  });
});

function http2Get(url: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = http2.connect(url);
    const stream = session.request({ ":path": path });
    let text = "";
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      text += chunk;
    });
    stream.on("error", reject);
    stream.on("end", () => session.close(() => resolve(text)));
  });
}

function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = net.connect(port, "127.0.0.1", () => socket.write(text));
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
  });
}
