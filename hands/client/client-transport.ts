import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { Connection } from "./client-connection.ts";

/** Largest message that is read, in bytes. */
const READ_MAX_BYTES = 32 * 1024 * 1024;

/** A Connect transport over `connection`. `token` is asked at every call, so that it can be renewed. */
export function transportOver(connection: Connection, token: string | (() => string) | undefined): Transport {
  const authorize: Interceptor = (next) => (request) => {
    const value = typeof token === "function" ? token() : token;
    if (value !== undefined) request.header.set("authorization", `Bearer ${value}`);
    return next(request);
  };
  return createConnectTransport({
    baseUrl: connection.authority,
    httpVersion: "2",
    sessionManager: connection,
    interceptors: [authorize],
    readMaxBytes: READ_MAX_BYTES,
    // Loopback and cluster networks are faster than gzip.
    acceptCompression: [],
  });
}
