import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import { onTestFinished } from "vitest";
import type { Address } from "../address.ts";
import { createLogger, type Logger } from "../log.ts";
import { type ServeOptions, type Server, serve } from "../serve.ts";
import { type ClientTls, type ClientTransport, createTransport, type Token } from "../transport.ts";
import { STORES } from "./memory.ts";

/** A temporary directory that is removed when the test ends. */
export async function temporaryDirectory(): Promise<string> {
  return await removedAtEnd(tmpdir());
}

/** The same for a store, which flushes every write: see {@link STORES}. */
export async function storeDirectory(): Promise<string> {
  return await removedAtEnd(STORES);
}

async function removedAtEnd(parent: string): Promise<string> {
  const path = await mkdtemp(join(parent, "harness-test-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** How {@link startServer} serves. */
export interface TestServerOptions {
  readonly routes: (router: ConnectRouter) => void;
  readonly address?: Address;
  readonly interceptors?: readonly Interceptor[];
  readonly fallback?: NonNullable<ServeOptions["fallback"]>;
  readonly tls?: NonNullable<ServeOptions["tls"]>;
  readonly patienceMs?: number;
  readonly maxStreams?: number;
  /** Default: what is logged is thrown away. */
  readonly log?: Logger;
}

/** A real server on a free port, closed when the test ends; `client` makes transports that are closed as well. */
export async function startServer(
  options: TestServerOptions,
): Promise<{ server: Server; client: (token?: Token, tls?: ClientTls) => ClientTransport }> {
  const server = await serve({
    address: { kind: "tcp", host: "127.0.0.1", port: 0 },
    log: createLogger("test", "silent"),
    ...options,
  });
  const transports: ClientTransport[] = [];
  onTestFinished(async () => {
    for (const transport of transports) transport.close();
    await server.close(200);
    if (server.connections() > 0) throw new Error(`${server.connections()} connections leaked`);
  });
  return {
    server,
    client: (token, tls) => {
      const transport = createTransport({
        address: server.address,
        ...(token === undefined ? {} : { token }),
        ...(tls === undefined ? {} : { tls }),
      });
      transports.push(transport);
      return transport;
    },
  };
}
