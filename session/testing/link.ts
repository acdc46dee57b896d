import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";

/** What a link does to what goes through it, in each direction. */
export interface LinkShape {
  /** Pieces that it passes on. Default: as they come. */
  readonly pieceBytes?: number;
  /** What each piece waits, in milliseconds. Default 0. */
  readonly delayMs?: number;
  /** Asked once per connection and direction: cut it after so many bytes. Default: never. */
  readonly cutAfterBytes?: () => number;
}

/** What a connection waits for before it lets something through: nothing, unless it was stopped. */
interface Gate {
  opened: Promise<void>;
  open: () => void;
}

/** A way to a port of the loopback that can be cut, slowed down, stopped, and led elsewhere. */
export class Link implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Map<readonly [Socket, Socket], Gate>();
  #joined = 0;
  #target: number;
  #shape: LinkShape;
  static async to(target: number, shape: LinkShape = {}): Promise<Link> {
    const server = createServer({ noDelay: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Link(server, target, shape);
  }

  private constructor(server: Server, target: number, shape: LinkShape) {
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("the system gave no port");
    this.port = address.port;
    this.#server = server;
    this.#target = target;
    this.#shape = shape;
    server.on("connection", (client) => this.#join(client));
  }

  /** How many connections there were. */
  get joined(): number {
    return this.#joined;
  }

  /** Cut every connection, whatever is on its way. */
  cut(): void {
    for (const pair of this.#pairs.keys()) for (const socket of pair) socket.destroy();
  }

  /** From now on connections behave so; those that are there already as well, but for their cut. */
  reshape(shape: LinkShape): void {
    this.#shape = shape;
  }

  /** Lead to another port: those who are connected are cut off, and come out there when they connect again. */
  lead(target: number): void {
    this.#target = target;
    this.cut();
  }

  /** Let nothing through on the connections that are there, and keep it, as a network does that lost its way. New ones are not concerned. */
  stop(): void {
    for (const gate of this.#pairs.values()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate.opened = promise;
      gate.open = resolve;
    }
  }

  /** Let everything through that waits. */
  resume(): void {
    for (const gate of this.#pairs.values()) gate.open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.resume();
    this.cut();
  }

  #join(client: Socket): void {
    this.#joined++;
    const upstream = connect({ port: this.#target, host: "127.0.0.1", noDelay: true });
    const pair = [client, upstream] as const;
    const gate: Gate = { opened: Promise.resolve(), open: () => undefined };
    this.#pairs.set(pair, gate);
    const end = (): void => {
      this.#pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const [from, into] of [pair, [upstream, client]] as const) pipeline(from, (data) => this.#shaped(data, gate), into).then(end, end);
  }

  async *#shaped(from: AsyncIterable<Buffer>, gate: Gate): AsyncGenerator<Buffer> {
    let left = this.#shape.cutAfterBytes?.() ?? Number.POSITIVE_INFINITY;
    for await (const data of from) {
      for (let at = 0; at < data.length; ) {
        const { pieceBytes = data.length, delayMs = 0 } = this.#shape;
        const piece = data.subarray(at, at + Math.min(pieceBytes, left));
        if (delayMs > 0) await delay(delayMs);
        await gate.opened;
        yield piece;
        at += piece.length;
        left -= piece.length;
        if (left <= 0) throw new Error("cut");
      }
    }
  }
}
