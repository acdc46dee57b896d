import * as tls from "node:tls";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { describe, expect, it } from "vitest";
import { formatAddress } from "../address.ts";
import { HealthState } from "../health.ts";
import type { ServerTls } from "../listener.ts";
import { createLogger } from "../log.ts";
import { serve } from "../serve.ts";
import { createAuthority, startServer } from "../testing/index.ts";

const ADDRESS = { kind: "tcp", host: "127.0.0.1", port: 0, tls: true } as const;

function start(material: ServerTls) {
  return startServer({ address: ADDRESS, tls: material, routes: (router) => new HealthState([]).routes(router) });
}

describe("an address with TLS", () => {
  it("is reached by those who trust its authority, over Connect and gRPC", async () => {
    const authority = await createAuthority();
    const { server, client } = await start(authority.issue("server"));
    expect((await createClient(Health, client(undefined, { ca: authority.ca })).check({})).status).toBe(Status.SERVING);
    const grpc = createGrpcTransport({
      baseUrl: formatAddress(server.address),
      nodeOptions: { ca: authority.ca },
      idleConnectionTimeoutMs: 0,
    });
    expect((await createClient(Health, grpc).check({})).status).toBe(Status.SERVING);
  });

  it("is refused by those who don't", async () => {
    const { client } = await start((await createAuthority()).issue("server"));
    const stranger = await createAuthority();
    await expect(createClient(Health, client(undefined, { ca: stranger.ca })).check({})).rejects.toThrow(/certificate/);
    await expect(createClient(Health, client()).check({})).rejects.toThrow(/certificate/);
  });

  it("lets in only clients of its authority where it asks for a certificate", async () => {
    const authority = await createAuthority();
    const stranger = await createAuthority();
    const { client } = await start({ ...authority.issue("server"), clientCa: authority.ca });
    const check = (identity?: { key: string; cert: string }) =>
      createClient(Health, client(undefined, { ca: authority.ca, ...identity })).check({});
    expect((await check(authority.issue("client"))).status).toBe(Status.SERVING);
    await expect(check()).rejects.toThrow();
    await expect(check(stranger.issue("client"))).rejects.toThrow();
  });

  it("speaks no version below 1.2", async () => {
    const authority = await createAuthority();
    const { server } = await start(authority.issue("server"));
    if (server.address.kind !== "tcp") throw new Error("a TCP port is expected");
    const options = { port: server.address.port, host: "127.0.0.1", ca: authority.ca, maxVersion: "TLSv1.1", minVersion: "TLSv1" } as const;
    const failure = await new Promise((resolve) => tls.connect(options, () => resolve("connected")).on("error", resolve));
    expect(failure).toBeInstanceOf(Error);
  });

  it("closes while a client is in the middle of its handshake", async () => {
    const authority = await createAuthority();
    const server = await serve({
      address: ADDRESS,
      tls: authority.issue("server"),
      log: createLogger("test", "silent"),
      routes: () => undefined,
    });
    if (server.address.kind !== "tcp") throw new Error("a TCP port is expected");
    const { connect } = await import("node:net");
    const socket = connect(server.address.port, "127.0.0.1");
    await new Promise((resolve) => socket.on("connect", resolve));
    socket.on("error", () => undefined);
    await server.close(20);
    expect(server.connections()).toBe(0);
  });

  it("needs its material, and says what is wrong with it", async () => {
    const options = { address: ADDRESS, log: createLogger("test", "silent"), routes: () => undefined };
    await expect(serve(options)).rejects.toThrow(/needs a key and a certificate/);
    await expect(serve({ ...options, tls: { key: "x", cert: "y" } })).rejects.toThrow(/TLS key or certificate can't be used/);
  });
});
