import * as http2 from "node:http2";
import { connect as connectSocket, isIP } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Address, formatAddress, isEncrypted } from "./address.ts";

/** HTTP/2 flow-control window of a stream and of a connection. Node's default of 64 KiB throttles bulk output. */
export const WINDOW_BYTES = 4 * 1024 * 1024;

/**
 * Memory of a connection, in megabytes, at which Node refuses further streams with ENHANCE_YOUR_CALM. Its default of 10 is reached by three messages of
 * 4 MiB, or by a few readers that are slow. What a stream that is cut had not sent yet stays counted until the connection ends.
 */
export const SESSION_MEGABYTES = 256;

/** A client's TLS material, as PEM texts. */
export interface ClientTls {
  /** The authority that the server's certificate must be of. Default: the system's. */
  readonly ca?: string;
  /** Mutual TLS: our own key and certificate. */
  readonly key?: string;
  readonly cert?: string;
}

/** How long a connection may take to come up, and the other end to answer a ping, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;
const PING_INTERVAL_MS = 5000;
const PING_TIMEOUT_MS = 10_000;

/**
 * One HTTP/2 connection, made when it is needed and again when it is lost. It takes the place of connect-node's session manager, which
 * lets go of its error listeners too early: an error of a connection that is gone already must never end the process.
 */
export class Connection {
  /** Where it leads, as the transport's base URL has it. */
  readonly authority: string;
  readonly #address: Address;
  readonly #tls: ClientTls;
  readonly #prefix: string;
  #session: http2.ClientHttp2Session | undefined;
  #connecting: Promise<http2.ClientHttp2Session> | undefined;
  #isClosed = false;

  /** `tls`: for an address with TLS, and of no effect for another one. `prefix`: stands before the path of each request. */
  constructor(address: Address, tls: ClientTls = {}, prefix = "") {
    this.#address = address;
    this.#prefix = prefix;
    this.#tls = tls;
    this.authority = address.kind === "unix" ? "http://localhost" : formatAddress(address);
  }

  /** Begin a request. UNAVAILABLE if there is no connection to be had. */
  async request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: http2.ClientSessionRequestOptions,
  ): Promise<http2.ClientHttp2Stream> {
    const session = await this.#ready();
    try {
      const stream = session.request({ ...headers, ":method": method, ":path": this.#prefix + path }, options);
      this.#count(session, stream);
      failUnanswered(stream);
      return stream;
    } catch (error) {
      this.#forget(session);
      throw unavailable(error);
    }
  }

  /** Nothing to do: pings are asked for by the clock alone. */
  notifyResponseByteRead(): void {}

  /** Cut the connection: whatever runs on it fails, the next request makes a new one. */
  reset(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    // What was written last, as that a call is given up, may still reach the other end.
    session.destroy();
    setTimeout(() => uses.get(session)?.socket.destroy(), PING_TIMEOUT_MS).unref();
  }

  /** Cut the connection for good. */
  close(): void {
    this.#isClosed = true;
    this.reset();
  }

  async #ready(): Promise<http2.ClientHttp2Session> {
    if (this.#isClosed) throw new ConnectError("the client was closed", Code.Canceled);
    const session = this.#session;
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  #connect(): Promise<http2.ClientHttp2Session> {
    const { promise, resolve, reject } = Promise.withResolvers<http2.ClientHttp2Session>();
    const socket = connectTo(this.#address, this.#tls);
    const session = http2.connect(this.authority, {
      settings: { initialWindowSize: WINDOW_BYTES },
      maxSessionMemory: SESSION_MEGABYTES,
      createConnection: () => socket,
    });
    uses.set(session, { socket, streams: 0 });
    let cause: unknown = new Error("the connection could not be made in time");
    const timer = setTimeout(() => cut(session, socket), CONNECT_TIMEOUT_MS);
    // This listener stays as long as the session does.
    session.on("error", (error) => {
      cause = error;
    });
    session.once("connect", () => {
      clearTimeout(timer);
      session.setLocalWindowSize(WINDOW_BYTES);
      // An idle connection keeps no process alive.
      session.unref();
      this.#session = session;
      if (this.#isClosed) session.destroy();
      resolve(session);
    });
    session.once("goaway", () => this.#forget(session));
    session.once("close", () => {
      clearTimeout(timer);
      this.#forget(session);
      reject(unavailable(cause));
    });
    return promise;
  }

  /** Take no more requests on a session; those under way may end. */
  #forget(session: http2.ClientHttp2Session): void {
    if (this.#session === session) this.#session = undefined;
    if (!session.closed && !session.destroyed) session.close();
  }

  /** While requests are under way, the process stays and the other end is asked whether it still lives. */
  #count(session: http2.ClientHttp2Session, stream: http2.ClientHttp2Stream): void {
    const use = uses.get(session);
    if (use === undefined) return;
    if (use.streams++ === 0) {
      session.ref();
      keepAsking(session, use.socket, () => use.streams > 0);
    }
    stream.once("close", () => {
      if (--use.streams === 0 && !session.destroyed) session.unref();
      // One end counts too much memory for this connection, and it may be for good: the next request gets a fresh one.
      if (stream.rstCode === http2.constants.NGHTTP2_ENHANCE_YOUR_CALM) this.#forget(session);
    });
  }
}

/**
 * A stream that is closed in good order but without an answer is an error: connect-node would wait for the answer for ever. It happens
 * if a server says GOAWAY and then cuts the connection.
 */
function failUnanswered(stream: http2.ClientHttp2Stream): void {
  let answered = false;
  stream.once("response", () => {
    answered = true;
  });
  stream.once("close", () => {
    if (answered || stream.errored !== null || stream.listenerCount("error") === 0) return;
    stream.emit("error", unavailable(new Error("the connection was closed before the answer came")));
  });
}

/** The socket of each connection, and how many streams are open on it. */
const uses = new WeakMap<http2.ClientHttp2Session, { readonly socket: Duplex; streams: number }>();

function connectTo(address: Address, tls: ClientTls): Duplex {
  if (address.kind === "unix") return connectSocket(address.path);
  const { host, port } = address;
  if (!isEncrypted(address)) return connectSocket(port, host);
  return connectTls({ host, port, ALPNProtocols: ["h2"], ...(isIP(host) === 0 && { servername: host }), ...tls });
}

/**
 * Ping a session for as long as it is `wanted`, and cut it if the other end does not answer. `socket`: what it runs on. Timers keep no
 * process alive.
 */
export function keepAsking(session: http2.Http2Session, socket: Duplex, wanted: () => boolean = () => true): void {
  const timer = setInterval(() => {
    if (session.destroyed || session.closed || !wanted()) return clearInterval(timer);
    const patience = setTimeout(() => cut(session, socket), PING_TIMEOUT_MS).unref();
    try {
      session.ping(() => clearTimeout(patience));
    } catch {
      // It was destroyed between the two lines above.
      clearTimeout(patience);
    }
  }, PING_INTERVAL_MS).unref();
}

/**
 * End a connection at once. A session that is destroyed keeps its socket until all that was written is taken: never, if the other end reads no
 * more. Over TLS the same happens now and then if the other end was killed, as Node loses the error of a write (seen in v24.21).
 */
export function cut(session: http2.Http2Session, socket: Duplex): void {
  session.destroy();
  socket.destroy();
}

/** The cause's own words, as about a certificate, tell what to do. */
function unavailable(cause: unknown): ConnectError {
  const why = cause instanceof Error && cause.message !== "" ? `: ${cause.message}` : "";
  return new ConnectError(`the service can't be reached${why}`, Code.Unavailable, undefined, undefined, cause);
}
