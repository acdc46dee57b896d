import { connect as connectSocket } from "node:net";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type Address, formatAddress } from "./address.ts";

/** HTTP/2 flow-control window of a stream and of a connection. Node's default of 64 KiB throttles bulk output. */
export const WINDOW_BYTES = 4 * 1024 * 1024;

/** How a client reaches a service. */
export interface TransportOptions {
  readonly address: Address;
  /** Sent as `Authorization: Bearer`. A function is asked at every call, so that tokens can be renewed. */
  readonly token?: string | (() => string);
  /** Largest message that is read, in bytes. Default 32 MiB. */
  readonly readMaxBytes?: number;
  /** For an address with TLS. Default: the system's authorities, no certificate of our own. */
  readonly tls?: ClientTls;
}

/** A client's TLS material, as PEM texts. */
export interface ClientTls {
  /** The authority that the server's certificate must be of. */
  readonly ca?: string;
  /** Mutual TLS: our own key and certificate. */
  readonly key?: string;
  readonly cert?: string;
}

/** A transport and the connection behind it. */
export interface ClientTransport extends Transport {
  /** Close the connection; calls in flight fail. */
  close(): void;
}

/** A Connect transport over one HTTP/2 connection, to a Unix socket or a TCP port. It connects at the first call. */
export function createTransport(options: TransportOptions): ClientTransport {
  const { address, token } = options;
  const authority = address.kind === "unix" ? "http://localhost" : formatAddress(address);
  const session = new Http2SessionManager(
    authority,
    { pingIntervalMs: 30_000, pingTimeoutMs: 10_000, idleConnectionTimeoutMs: 15 * 60_000 },
    {
      settings: { initialWindowSize: WINDOW_BYTES },
      ...options.tls,
      ...(address.kind === "unix" ? { createConnection: () => connectSocket(address.path) } : {}),
    },
  );
  const authorize: Interceptor = (next) => (request) => {
    const value = typeof token === "function" ? token() : token;
    if (value !== undefined) request.header.set("authorization", `Bearer ${value}`);
    return next(request);
  };
  const transport = createConnectTransport({
    baseUrl: authority,
    httpVersion: "2",
    sessionManager: session,
    interceptors: [authorize],
    readMaxBytes: options.readMaxBytes ?? 32 * 1024 * 1024,
    // Loopback and cluster networks are faster than gzip.
    acceptCompression: [],
  });
  return Object.assign(transport, { close: () => session.abort() });
}
