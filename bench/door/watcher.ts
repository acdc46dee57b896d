import { once } from "node:events";
import * as http from "node:http";

const ID = /^id: (\d+)$/gm;

/** Reads a leaf's events by `GET /v1/leaves/{id}/events`, and notes when each one came. */
export class Watcher {
  readonly leafId: string;
  readonly #request: http.ClientRequest;
  /** By the event's number: on the clock of `performance`. */
  readonly #times = new Map<number, number>();
  readonly #waiting = new Map<number, (at: number) => void>();
  #rest = "";

  static async open(origin: string, leafId: string, token: string): Promise<Watcher> {
    const headers = { authorization: `Bearer ${token}`, connection: "close" };
    const request = http.get(`${origin}/v1/leaves/${leafId}/events`, { headers, agent: false });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    if (response.statusCode !== 200) throw new Error(`a watcher was answered with ${response.statusCode}`);
    return new Watcher(leafId, request, response);
  }

  private constructor(leafId: string, request: http.ClientRequest, response: http.IncomingMessage) {
    this.leafId = leafId;
    this.#request = request;
    // Closing cuts it.
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    response.setEncoding("utf8").on("data", (text: string) => this.#take(text));
  }

  /** When the event of this number came, once it has. */
  seen(seq: number): Promise<number> {
    const at = this.#times.get(seq);
    return at === undefined ? new Promise((resolve) => this.#waiting.set(seq, resolve)) : Promise.resolve(at);
  }

  close(): void {
    this.#request.destroy();
  }

  #take(text: string): void {
    const now = performance.now();
    const frames = (this.#rest + text).split("\n\n");
    this.#rest = frames.pop() ?? "";
    for (const [, id] of frames.join("\n").matchAll(ID)) {
      const seq = Number(id);
      this.#times.set(seq, now);
      this.#waiting.get(seq)?.(now);
      this.#waiting.delete(seq);
    }
  }
}
