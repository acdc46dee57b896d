import * as http from "node:http";
import * as http2 from "node:http2";
import type { Readable } from "node:stream";
import { onTestFinished } from "vitest";

/** An answer whose body is read as it comes, or not at all. */
export interface OpenAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
  /** Cut the connection. */
  leave(): void;
}

/** Ask for a path, and resolve once the head of the answer is there. */
export type Opener = (origin: string, path: string, headers?: Readonly<Record<string, string>>, method?: string) => Promise<OpenAnswer>;

export const openHttp1: Opener = (origin, path, headers = {}, method = "GET") =>
  new Promise((resolve, reject) => {
    const request = http.request(`${origin}${path}`, { method, headers, agent: false });
    onTestFinished(() => void request.destroy());
    request.on("error", reject);
    request.on("response", (response) => {
      response.on("error", () => undefined);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: response, leave: () => void request.destroy() });
    });
    request.end();
  });

export const openHttp2: Opener = (origin, path, headers = {}, method = "GET") =>
  new Promise((resolve, reject) => {
    const session = http2.connect(origin);
    onTestFinished(() => session.destroy());
    session.on("error", reject);
    const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: true });
    stream.on("error", reject);
    stream.on("response", ({ ":status": status = 0, ...received }) => {
      resolve({ status, headers: received as OpenAnswer["headers"], body: stream, leave: () => session.destroy() });
    });
  });

/** All of a body. */
export async function textOf({ body }: OpenAnswer): Promise<string> {
  let text = "";
  body.setEncoding("utf8");
  for await (const chunk of body) text += chunk;
  return text;
}

/** One event, as a reader of server-sent events sees it. */
export interface SentEvent {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** The frames of a stream of server-sent events, in order: events, and all other lines by themselves. */
export async function* sentEvents({ body }: OpenAnswer): AsyncGenerator<SentEvent | string> {
  body.setEncoding("utf8");
  let rest = "";
  for await (const chunk of body) {
    const frames = (rest + chunk).split("\n\n");
    rest = frames.pop() ?? "";
    for (const frame of frames) {
      const fields = /^id: (\d+)\nevent: (\w+)\ndata: ([^\n]*)$/.exec(frame);
      yield fields === null ? frame : { id: fields[1] ?? "", event: fields[2] ?? "", data: JSON.parse(fields[3] ?? "") };
    }
  }
  if (rest !== "") throw new Error(`the stream broke off within ${JSON.stringify(rest)}`);
}
