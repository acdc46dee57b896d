import * as http2 from "node:http2";
import { onTestFinished } from "vitest";

/** A plain answer. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Record<string, unknown>;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly signal?: AbortSignal;
}

export type Asker = (origin: string, path: string, ask?: Ask) => Promise<Answer>;

/** One request over HTTP/1.1, on a connection of its own. */
export const askHttp1: Asker = async (origin, path, { method = "GET", headers = {}, body, signal } = {}) => {
  const response = await fetch(`${origin}${path}`, {
    method,
    headers: { ...headers, connection: "close" },
    ...(body === undefined ? {} : { body }),
    ...(signal === undefined ? {} : { signal }),
  });
  return { status: response.status, headers: Object.fromEntries(response.headers), body: parse(await response.text()) };
};

/** One request over HTTP/2. */
export const askHttp2: Asker = async (origin, path, { method = "GET", headers = {}, body, signal } = {}) => {
  // Node counts a body that waits to be sent against the session's memory, and refuses the answer's headers when it is full.
  const session = http2.connect(origin, { maxSessionMemory: 64 });
  session.on("error", () => undefined);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: body === undefined });
  signal?.addEventListener("abort", () => stream.close(http2.constants.NGHTTP2_CANCEL));
  if (body !== undefined) stream.end(body);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const chunks: Buffer[] = [];
  let received: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {};
  stream.on("response", (head) => {
    received = head;
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", reject);
  stream.on("close", () => {
    if (received[":status"] === undefined) return reject(new Error("no answer"));
    const text = Object.entries(received).flatMap(([name, value]) => (typeof value === "string" ? [[name, value] as const] : []));
    resolve({ status: received[":status"], headers: Object.fromEntries(text), body: parse(Buffer.concat(chunks).toString()) });
  });
  return promise;
};

function parse(text: string): Record<string, unknown> {
  return text === "" ? {} : JSON.parse(text);
}
