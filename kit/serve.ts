import { once } from "node:events";
import { unlink } from "node:fs/promises";
import * as http from "node:http";
import * as http2 from "node:http2";
import type * as net from "node:net";
import type { Duplex } from "node:stream";
import type { Registry } from "@bufbuild/protobuf";
import type { ConnectRouter, Interceptor } from "@connectrpc/connect";
import type { Address } from "./address.ts";
import type { Encoder } from "./connect/duplex.ts";
import type { Explain } from "./connect/rpc.ts";
import { cut, keepAsking, SESSION_MEGABYTES, WINDOW_BYTES } from "./connection.ts";
import { withErrorInfo } from "./errors.ts";
import { createHandler, type HandlerOptions, type PlainHandler, type PlainRequest, type PlainResponse } from "./handler.ts";
import { boundAddress, createListener, listen, replaceTls, type ServerTls } from "./listener.ts";
import { boundary, type Logger } from "./log.ts";

export { type PlainHandler, type PlainRequest, type PlainResponse, refuseRpc, requestPath } from "./handler.ts";

/** What a service serves. */
export interface ServeOptions {
  readonly address: Address;
  readonly routes: (router: ConnectRouter) => void;
  readonly log: Logger;
  /** Run around every RPC, inside the boundary that logs and translates errors. */
  readonly interceptors?: readonly Interceptor[];
  /** Runs before anything of a request's body is read, and before the interceptors; what it throws is the answer. */
  readonly requestGate?: NonNullable<HandlerOptions["requestGate"]>;
  /** Types that a `google.protobuf.Any` may carry in JSON. Default: none. */
  readonly registry?: Registry;
  /** Answers what is not an RPC. Default: 404. */
  readonly fallback?: PlainHandler;
  /** Stands in front of every request, RPCs too. Default: nothing. */
  readonly around?: (handler: PlainHandler) => PlainHandler;
  /** What clients get in place of an error. Default: the same with a `google.rpc.ErrorInfo`, unless it has one. */
  readonly explain?: Explain;
  /** Largest request message in bytes. Default 4 MiB. */
  readonly maxMessageBytes?: number;
  /** Write down messages of streams in a better way than the general one; by type name. */
  readonly encoders?: ReadonlyMap<string, Encoder>;
  /** HTTP/2 streams that may be open on one connection; a client keeps what goes beyond that until there is room. Default 1000. */
  readonly maxStreams?: number;
  /**
   * How long a connection may take for its first byte, for its TLS handshake, for a request's header, and over HTTP/2 for its first request, in
   * milliseconds. Default 30 s. A connection without a call is closed after ten times as long.
   */
  readonly patienceMs?: number;
  /** Needed if the address asks for TLS. */
  readonly tls?: ServerTls;
  /** Takes over connections whose client asks for a protocol of this name by HTTP/1.1's `Upgrade`. Default: nothing is upgraded. */
  readonly upgrade?: { readonly protocol: string; readonly handle: UpgradeHandler };
}

/** Takes over a connection. `head`: what the client has sent after its request. */
export type UpgradeHandler = (request: http.IncomingMessage, socket: Duplex, head: Buffer) => void;

/** A running server. */
export interface Server {
  /** Where it listens; a port of 0 is replaced by the real one. */
  readonly address: Address;
  /** Connections open now. */
  connections(): number;
  /** Serve HTTP/2 on a connection that this process made to a client, until one of the two closes it: it may be idle for as long as it likes. */
  adopt(socket: net.Socket): void;
  /** Use other TLS material for connections from now on; those that are open stay. Throws if it can't be used, or there is no TLS. */
  replaceTls(tls: ServerTls): void;
  /** Take no new calls, let those in flight end for `graceMs` (default 1000), then cut them. Idempotent. */
  close(graceMs?: number): Promise<void>;
}

const PATIENCE_MS = 30_000;
/** An HTTP/2 connection may be idle for this many times the patience. A header that is never finished is no stream: it ends with this as well. */
const IDLE_FACTOR = 10;

/** Enough for every watcher of a busy console, and few enough to be answered in their order. */
const MAX_STREAMS = 1000;

/** First bytes of every HTTP/2 connection (RFC 9113, 3.4); three of them tell it from any HTTP/1 method. */
const HTTP2_PREFACE = "PRI";

/** Serve gRPC, gRPC-web, Connect and plain HTTP of version 1.1 and 2, with TLS or without, on one port or Unix socket. */
export async function serve(options: ServeOptions): Promise<Server> {
  const { address, log, patienceMs = PATIENCE_MS, around = (inner) => inner } = options;
  const inner = createHandler({
    log,
    routes: options.routes,
    interceptors: [boundary(log), ...(options.interceptors ?? [])],
    readMaxBytes: options.maxMessageBytes ?? 4 * 1024 * 1024,
    acceptCompression: [],
    // A misspelt field or name of an enum would otherwise be ignored: a leaf whose gates are misspelt would run without them.
    jsonOptions: { ignoreUnknownFields: false, ...(options.registry && { registry: options.registry }) },
    ...(options.requestGate && { requestGate: options.requestGate }),
    fallback: options.fallback ?? notFound,
    explain: options.explain ?? withErrorInfo,
    encoders: options.encoders,
  });
  const handler = around(inner);
  const { upgrade } = options;
  const http1Server = http.createServer(
    {
      headersTimeout: patienceMs,
      keepAliveTimeout: patienceMs * IDLE_FACTOR,
      connectionsCheckingInterval: Math.ceil(patienceMs / 4),
      // Some clients ask every server for h2c, and are content with HTTP/1.1.
      shouldUpgradeCallback: ({ headers }) => upgrade !== undefined && headers.upgrade?.toLowerCase() === upgrade.protocol,
    },
    handler,
  );
  if (upgrade !== undefined) http1Server.on("upgrade", upgrade.handle);
  // It never listens itself; this is what starts its check of slow requests.
  http1Server.emit("listening");
  const settings = { initialWindowSize: WINDOW_BYTES, maxConcurrentStreams: options.maxStreams ?? MAX_STREAMS };
  const http2Options = { settings, maxSessionMemory: SESSION_MEGABYTES };
  const http2Server = http2.createServer(http2Options, handler);
  const sessions = new Set<http2.ServerHttp2Session>();
  const serveHttp2 = (socket: net.Socket): http2.ServerHttp2Session => {
    const session = http2.performServerHandshake(socket, http2Options);
    sessions.add(session);
    session.setLocalWindowSize(WINDOW_BYTES);
    session.on("close", () => sessions.delete(session));
    session.on("error", (error) => log.debug({ err: error }, "connection broke"));
    session.on("stream", (...stream) => http2Server.emit("stream", ...stream));
    return session;
  };
  const sockets = new Set<net.Socket>();
  const keep = (socket: net.Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => sockets.delete(socket));
  };
  const listener = createListener({ address, tls: options.tls, patienceMs }, (socket) => {
    socket.on("error", (error) => log.debug({ err: error }, "socket broke"));
    routeByPreface(socket, patienceMs, (version) => {
      if (version === 2) return closeWhenIdle(serveHttp2(socket), socket, patienceMs);
      http1Server.emit("connection", socket);
      readByEvents(socket);
    });
  });
  // With TLS this is the socket below it, so that one in the middle of its handshake is cut as well.
  listener.on("connection", keep);
  listener.on("tlsClientError", (error: Error, socket: net.Socket) => {
    log.info({ err: error }, "TLS handshake refused");
    // Node leaves one that took too long open.
    socket.destroy();
  });
  await listen(listener, address);

  let closing: Promise<void> | undefined;
  const close = async (graceMs: number): Promise<void> => {
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
    for (const session of sessions) session.close();
    http1Server.closeIdleConnections();
    // Ends the check; there is no listener of its own to close.
    http1Server.close(() => undefined);
    const cut = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    await closed;
    // The listener counts a socket as gone before the socket itself has told so.
    await Promise.all([...sockets].map((socket) => once(socket, "close")));
    clearTimeout(cut);
    if (address.kind === "unix") await unlink(address.path).catch(() => undefined);
  };
  return {
    address: boundAddress(listener, address),
    connections: () => sockets.size,
    adopt: (socket) => {
      if (closing !== undefined) return void socket.destroy();
      keep(socket);
      keepAsking(serveHttp2(socket), socket);
    },
    replaceTls: (material) => replaceTls(listener, material),
    close: (graceMs = 1000) => (closing ??= close(graceMs)),
  };
}

function notFound(_request: PlainRequest, response: PlainResponse): void {
  response.writeHead(404);
  response.end();
}

/** Close a connection that has no stream for long: while none was asked for, and later on. A client makes another when it needs one. */
function closeWhenIdle(session: http2.ServerHttp2Session, socket: net.Socket, patienceMs: number): void {
  let open = 0;
  const close = (): void => {
    session.close();
    // One whose header never ends counts as a stream that is waited for.
    setTimeout(() => cut(session, socket), patienceMs).unref();
  };
  let idle = setTimeout(close, patienceMs);
  session.on("stream", (stream) => {
    open++;
    clearTimeout(idle);
    stream.once("close", () => {
      if (--open === 0 && !session.closed) idle = setTimeout(close, patienceMs * IDLE_FACTOR).unref();
    });
  });
  session.once("close", () => clearTimeout(idle));
}

/** Tell which HTTP version a new connection speaks. */
function routeByPreface(socket: net.Socket, patienceMs: number, route: (version: 1 | 2) => void): void {
  const silent = setTimeout(() => socket.destroy(), patienceMs);
  socket.once("close", () => clearTimeout(silent));
  const leave = (): void => void socket.destroy();
  socket.once("end", leave);
  socket.on("readable", function look() {
    const first: Buffer | null = socket.read();
    // Over TLS it is sometimes readable without a byte.
    if (first === null) return;
    clearTimeout(silent);
    socket.off("readable", look);
    socket.off("end", leave);
    socket.unshift(first);
    const isHttp2 = first.subarray(0, HTTP2_PREFACE.length).toString("latin1") === HTTP2_PREFACE;
    route(isHttp2 ? 2 : 1);
  });
}

/**
 * Let Node read a connection of HTTP/1.1 by its events, as it does once anybody listens to them. Its parser takes bytes from the connection by
 * itself otherwise, over TLS also while it is paused because of a large answer, and then ends the connection with "Parse Error: Paused".
 */
function readByEvents(socket: net.Socket): void {
  const ignore = (): void => undefined;
  socket.on("data", ignore).off("data", ignore);
}
