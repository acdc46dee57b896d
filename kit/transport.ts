import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { Address } from "./address.ts";
import { callStream } from "./connect/call-stream.ts";
import { callUnary } from "./connect/call-unary.ts";
import { type ClientTls, Connection } from "./connection.ts";

export type { ClientTls } from "./connection.ts";

/** Sent as `Authorization: Bearer`. A function is asked at every call, so that tokens can be renewed; the call fails with what it throws. */
export type Token = string | (() => string | Promise<string>);

/** How a client reaches a service. */
export interface TransportOptions {
  readonly address: Address;
  /** Stands before the path of every call, for a service that hands calls on to others. Default: nothing. */
  readonly prefix?: string;
  readonly token?: Token;
  /** For an address with TLS. Default: the system's authorities, no certificate of our own. */
  readonly tls?: ClientTls;
  /** Largest message that is read, in bytes; a larger one fails with RESOURCE_EXHAUSTED. Default 32 MiB. */
  readonly readMaxBytes?: number;
}

/** A transport and the connection behind it. */
export interface ClientTransport extends Transport {
  /** Close the connection; calls in flight fail. */
  close(): void;
}

const READ_MAX_BYTES = 32 * 1024 * 1024;

/** A Connect transport over one HTTP/2 connection, to a Unix socket or a TCP port. It connects at the first call. */
export function createTransport(options: TransportOptions): ClientTransport {
  const connection = new Connection(options.address, options.tls, options.prefix);
  return Object.assign(transportOver(connection, options.token, options.readMaxBytes), { close: () => connection.close() });
}

/**
 * A Connect transport over HTTP/1.1, for addresses that proxies answer too: every one of them knows it. Connections that are idle are closed by
 * themselves; a dead other end is noticed by TCP's keep-alive.
 */
export function createHttp1Transport(baseUrl: string): Transport {
  return createConnectTransport({ baseUrl, httpVersion: "1.1", readMaxBytes: READ_MAX_BYTES, acceptCompression: [] });
}

/** A Connect transport over a connection of the caller's. `readMaxBytes`: largest message that is read. Default 32 MiB. */
export function transportOver(connection: Connection, token: Token | undefined, readMaxBytes = READ_MAX_BYTES): Transport {
  const transport = createConnectTransport({
    baseUrl: connection.authority,
    httpVersion: "2",
    sessionManager: connection,
    readMaxBytes,
    // Loopback and cluster networks are faster than gzip.
    acceptCompression: [],
  });
  const authorized = async <T>(given: ConstructorParameters<typeof Headers>[0], call: (header: Headers) => Promise<T>): Promise<T> => {
    const header = new Headers(given);
    const asked = typeof token === "function" ? token() : token;
    // One that is at hand costs no turn.
    const value = asked instanceof Promise ? await asked : asked;
    if (value !== undefined) header.set("authorization", `Bearer ${value}`);
    return call(header);
  };
  // What has a deadline is left to connect-node, which knows how to keep it.
  return {
    unary: (method, signal, timeoutMs, given, message, contextValues) =>
      authorized(given, (header) =>
        timeoutMs === undefined
          ? callUnary(connection, { method, signal, header, message, readMaxBytes })
          : transport.unary(method, signal, timeoutMs, header, message, contextValues),
      ),
    stream: (method, signal, timeoutMs, given, input, contextValues) =>
      authorized(given, (header) =>
        timeoutMs === undefined
          ? callStream(connection, { method, signal, header, input, readMaxBytes })
          : transport.stream(method, signal, timeoutMs, header, input, contextValues),
      ),
  };
}
