import * as http from "node:http";
import * as http2 from "node:http2";
import type { Wire } from "./requests.ts";

/** What came back. */
export interface Answer {
  /** 0: none; the server cut the connection. */
  readonly status: number;
  /** Headers and trailers. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** It goes on, as the stream of a leaf that waits does. */
  readonly live: boolean;
  /** By which error an HTTP/2 stream was reset; 0: by none. */
  readonly resetBy: number;
}

/** A stream whose last pieces, so many, are the same does nothing more than keep itself alive. */
const LIVE_PIECES = 4;
const PATIENCE_MS = 20_000;

/** Sends requests as they are, well formed or not, over both versions of HTTP. */
export class RawClient {
  readonly #origin: string;
  #session: http2.ClientHttp2Session | undefined;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Rejects where no answer comes. */
  async ask(wire: Wire): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const late = setTimeout(() => reject(new Error(`no end of the answer within ${PATIENCE_MS / 1000} s: ${seen()}`)), PATIENCE_MS);
    const seen = (wire.version === 1 ? this.#ask1 : this.#ask2).call(this, wire, resolve);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
    }
  }

  close(): void {
    this.#session?.destroy();
  }

  /** Returns what tells how far it is. */
  #ask1({ method, path, headers, body }: Wire, resolve: (answer: Answer) => void): () => string {
    const chunks: Buffer[] = [];
    let response: http.IncomingMessage | undefined;
    const end = (live = false): void => {
      const all = { ...response?.headers, ...response?.trailers };
      resolve({ status: response?.statusCode ?? 0, headers: texts(all), body: Buffer.concat(chunks), live, resetBy: 0 });
      request.destroy();
    };
    const url = new URL(this.#origin);
    const request = http.request(
      { host: url.hostname, port: url.port, path, method, headers: { ...headers, connection: "close" } },
      (incoming) => {
        response = incoming;
        incoming.on("data", (chunk: Buffer) => {
          chunks.push(chunk);
          if (goesOn(path, chunks)) end(true);
        });
        incoming.on("error", () => undefined).once("close", () => end());
      },
    );
    request.on("error", () => end());
    request.end(body);
    return () => `status ${response?.statusCode}, ${Buffer.concat(chunks)}`;
  }

  #ask2({ method, path, headers, body }: Wire, resolve: (answer: Answer) => void): () => string {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(this.#origin, { maxSendHeaderBlockLength: 1 << 20 }).on("error", () => undefined);
    }
    const chunks: Buffer[] = [];
    let received: Record<string, unknown> = {};
    const stream = this.#session.request({ ":method": method, ":path": path, ...headers }, { endStream: body.length === 0 });
    const end = (live = false): void => {
      resolve({
        status: Number(received[":status"] ?? 0),
        headers: texts(received),
        body: Buffer.concat(chunks),
        live,
        resetBy: live ? 0 : (stream.rstCode ?? 0),
      });
      stream.close(http2.constants.NGHTTP2_CANCEL);
    };
    stream.on("response", (head) => {
      received = { ...received, ...head };
    });
    stream.on("trailers", (trailers) => {
      received = { ...received, ...trailers };
    });
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (goesOn(path, chunks)) end(true);
    });
    stream.on("error", () => undefined).once("close", () => end());
    if (body.length > 0) stream.end(body);
    return () => `status ${received[":status"]}, ${Buffer.concat(chunks)}`;
  }
}

/** The stream of health tells its state at once, and is never kept alive. */
function goesOn(path: string, chunks: readonly Buffer[]): boolean {
  if (path.startsWith("/grpc.health")) return true;
  const last = chunks.slice(-LIVE_PIECES);
  return last.length === LIVE_PIECES && last.every((chunk) => chunk.equals(last[0] ?? chunk));
}

function texts(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
