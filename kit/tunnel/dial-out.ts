import { once } from "node:events";
import * as http from "node:http";
import * as https from "node:https";
import { isIP, type LookupFunction, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { isEncrypted, type Target } from "../address.ts";
import { fullJitter } from "../backoff.ts";
import type { ClientTls } from "../connection.ts";
import type { Logger } from "../log.ts";
import { TUNNEL_PROTOCOL } from "./protocol.ts";

/** How to offer a server to a relay. */
export interface DialOutOptions {
  /** The relay, with the path at which it takes this server, as `https://relay:7433/v1/sandboxes/laptop/attach`. */
  readonly relay: Target;
  /** One of the addresses that the relay's name has, which is dialled alone. Default: any of them. */
  readonly at?: string;
  /** For an https address. Default: the system's authorities. */
  readonly tls?: ClientTls;
  /** Asked at each attempt, so that tokens can be renewed. */
  readonly token: () => string | Promise<string>;
  /** Serve on the connection until it ends. */
  readonly adopt: (socket: Socket) => void;
  readonly log: Logger;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Waits between attempts. A relay that restarts is back within seconds; one that refuses us will not change its mind soon. */
const RETRY_MS = { base: 250, most: 10_000 };
/** Longest explanation of a refusal that is read, in characters. */
const REFUSAL_LENGTH = 4096;

/** Keeps one connection up to a relay, and lets our server answer what comes over it: for a server that nobody can connect to. */
export class DialOut {
  readonly #options: DialOutOptions;
  readonly #ended = new AbortController();
  #running: Promise<void> | undefined;
  #problem: string | undefined = "it has not been tried yet";
  #peer: string | undefined;

  constructor(options: DialOutOptions) {
    this.#options = options;
  }

  /** Why there is no connection at this moment; `undefined` if there is one. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** The address of the relay that is connected; `undefined` if none is. */
  get peer(): string | undefined {
    return this.#peer;
  }

  /** Connect, and connect again whenever the connection is lost, until {@link close}. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Connect no more. The server closes the connection there is when it closes itself. */
  async close(): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const socket = await this.#connect();
        attempt = 1;
        this.#peer = socket.remoteAddress;
        this.#note(undefined);
        this.#options.adopt(socket);
        if (!socket.destroyed) await once(socket, "close", { signal });
        this.#note("the relay closed the connection");
      } catch (error) {
        this.#note(error instanceof Error ? error.message : String(error));
      }
      this.#peer = undefined;
      await wait(fullJitter(attempt, RETRY_MS.base, RETRY_MS.most), undefined, { signal }).catch(() => undefined);
    }
  }

  /** A relay that is away for an hour is one line in the log, not thousands. */
  #note(problem: string | undefined): void {
    if (problem === this.#problem || this.#ended.signal.aborted) return;
    this.#problem = problem;
    const { relay, at, log } = this.#options;
    const where = { relay: relay.address, ...(at === undefined ? {} : { at }), path: relay.prefix };
    if (problem === undefined) log.info(where, "a relay hands calls on to this server");
    else log.warn({ ...where, problem }, "the relay can't be reached: it is tried again until it can");
  }

  /** Rejects with what the relay says if it refuses. */
  async #connect(): Promise<Socket> {
    const { relay, at, tls, token } = this.#options;
    const { address } = relay;
    const authorization = `Bearer ${await token()}`;
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const request = (isEncrypted(address) ? https : http).request({
      ...(address.kind === "unix" ? { socketPath: address.path } : { host: address.host, port: address.port }),
      path: relay.prefix,
      headers: { connection: "upgrade", upgrade: TUNNEL_PROTOCOL, authorization },
      agent: false,
      signal: AbortSignal.any([this.#ended.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]),
      ...(at === undefined ? {} : { lookup: alwaysTo(at) }),
      ...tls,
    });
    request.on("upgrade", (_response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket as Socket);
    });
    request.on("response", (response) => void refusalOf(response).then((text) => reject(new Error(text)), reject));
    request.on("error", reject);
    request.end();
    return await promise;
  }
}

/** Leads every name to one address; the relay is still asked for by its name, and has to prove that name. */
function alwaysTo(address: string): LookupFunction {
  const family = isIP(address);
  return (_host, { all }, done) => (all === true ? done(null, [{ address, family }]) : done(null, address, family));
}

async function refusalOf(response: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) {
    text += chunk;
    if (text.length > REFUSAL_LENGTH) break;
  }
  return `it answered ${response.statusCode}: ${messageIn(text)}`;
}

function messageIn(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return text;
  }
}
