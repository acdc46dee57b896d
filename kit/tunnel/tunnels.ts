import * as http2 from "node:http2";
import type { Duplex } from "node:stream";
import { Code } from "@connectrpc/connect";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import { cut, keepAsking, SESSION_MEGABYTES, WINDOW_BYTES } from "../connection.ts";
import { HarnessError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { PlainRequest, PlainResponse } from "../serve.ts";
import { forward } from "./forward.ts";
import { TUNNEL_PROTOCOL } from "./protocol.ts";

/** How long a server that holds a name may take to show that it lives when another one asks for that name, in milliseconds. */
const PROOF_MS = 5000;

interface AttachedServer {
  readonly owner: string;
  readonly session: http2.ClientHttp2Session;
  readonly socket: Duplex;
}

/** The servers that have dialled in to this relay, by their names, and the way to call them. */
export class Tunnels {
  readonly #log: Logger;
  readonly #servers = new Map<string, AttachedServer>();
  /** Names that somebody asks for at this moment. */
  readonly #asked = new Set<string>();
  #isClosed = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** The servers that are there, each with the owner that attached it. */
  servers(): ReadonlyArray<{ readonly name: string; readonly owner: string }> {
    return [...this.#servers].map(([name, { owner }]) => ({ name, owner }));
  }

  /**
   * Attach a server of an owner on a connection that asked for the upgrade. ALREADY_EXISTS `name_taken` while another server of that name is there and
   * answers: one whose machine went away without a word makes room. UNAVAILABLE `shutting_down` after {@link close}. CANCELED if the server went
   * away meanwhile.
   */
  async attach(name: string, owner: string, socket: Duplex, head: Buffer): Promise<void> {
    if (this.#isClosed) throw new HarnessError(Code.Unavailable, "shutting_down", "the relay stops: dial another one");
    if (this.#asked.has(name)) throw nameTaken(name);
    this.#asked.add(name);
    try {
      const holder = this.#servers.get(name);
      if (holder !== undefined) {
        if (await lives(holder.session)) throw nameTaken(name);
        cut(holder.session, holder.socket);
      }
      await accept(socket);
      if (this.#isClosed) return void socket.destroy();
      this.#take(name, owner, socket, head);
    } finally {
      this.#asked.delete(name);
    }
  }

  /** Answer a request by what a server answers to it at `path`. UNAVAILABLE `not_attached` if it is not there. */
  forward(name: string, path: string, request: PlainRequest, response: PlainResponse): void {
    // A refusal has the form that this path asks for.
    request.url = path;
    const session = this.#servers.get(name)?.session;
    if (session === undefined || session.closed || session.destroyed)
      throw new HarnessError(Code.Unavailable, "not_attached", `${name} is not connected to this relay`);
    if (!("stream" in request) || !("stream" in response))
      throw new HarnessError(Code.InvalidArgument, "http2_needed", "this path is for HTTP/2 alone");
    forward(session, path, request, response, this.#log);
  }

  /** Let go of all servers: they dial another relay, or this one's successor. */
  close(): void {
    this.#isClosed = true;
    for (const { session } of this.#servers.values()) session.close();
  }

  #take(name: string, owner: string, socket: Duplex, head: Buffer): void {
    if (head.length > 0) socket.unshift(head);
    const session = http2.connect("http://tunnel", {
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
      maxSessionMemory: SESSION_MEGABYTES,
      createConnection: () => socket,
    });
    session.once("connect", () => session.setLocalWindowSize(WINDOW_BYTES));
    session.on("error", (error) => this.#log.debug({ err: error, name }, "a tunnel broke"));
    session.on("goaway", () => this.#drop(name, session));
    session.on("close", () => this.#drop(name, session));
    keepAsking(session, socket);
    this.#servers.set(name, { owner, session, socket });
    this.#log.info({ name }, "a server dialled in");
  }

  #drop(name: string, session: http2.ClientHttp2Session): void {
    if (this.#servers.get(name)?.session !== session) return;
    this.#servers.delete(name);
    this.#log.info({ name }, "a server that had dialled in is gone");
  }
}

/** Refuse an upgrade with an error in the form of Connect's unary calls, and close the connection. */
export function refuseUpgrade(socket: Duplex, { code, reason, message }: Pick<HarnessError, "code" | "reason" | "message">): void {
  const status = codeToHttpStatus(code);
  const body = JSON.stringify({ code: Code[code], reason, message });
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** HTTP/2 takes over below the socket: Node aborts the process if a write of the socket's own is still under way then. */
async function accept(socket: Duplex): Promise<void> {
  const head = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", `Upgrade: ${TUNNEL_PROTOCOL}`];
  await new Promise<void>((resolve, reject) => {
    socket.once("close", () => reject(new HarnessError(Code.Canceled, "client_gone", "the connection was closed")));
    socket.write(`${head.join("\r\n")}\r\n\r\n`, (error) => (error == null ? resolve() : reject(error)));
  });
}

function nameTaken(name: string): HarnessError {
  return new HarnessError(Code.AlreadyExists, "name_taken", `another server is connected as ${name}: stop it, or use another name`);
}

/** It answers a ping in time. */
async function lives(session: http2.ClientHttp2Session): Promise<boolean> {
  if (session.closed || session.destroyed) return false;
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), PROOF_MS);
  session.once("close", () => resolve(false));
  try {
    session.ping((error) => resolve(error === null));
    return await promise;
  } catch {
    // It ended between the two lines above.
    return false;
  } finally {
    clearTimeout(timer);
  }
}
