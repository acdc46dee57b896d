import { createHmac, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished, vi } from "vitest";

/** A message as it arrived. */
export interface Received {
  readonly id: string;
  readonly timestamp: string;
  readonly signatures: readonly string[];
  readonly body: string;
  readonly json: { readonly type: string; readonly timestamp: string; readonly data: Readonly<Record<string, unknown>> };
  readonly path: string;
}

/** A new secret, and what it signs a message with. */
export function newSecret(): { text: string; sign: (message: Received) => string } {
  const bytes = randomBytes(32);
  return {
    text: `whsec_${bytes.toString("base64")}`,
    sign: ({ id, timestamp, body }) => `v1,${createHmac("sha256", bytes).update(`${id}.${timestamp}.${body}`).digest("base64")}`,
  };
}

/** A receiver of webhooks on a real port. `answer` answers each message, by default with 204; it may leave it unanswered. */
export async function openReceiver(answer: (response: ServerResponse, message: Received, nth: number) => void = accept) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    void read(request).then((message) => {
      received.push(message);
      answer(response, message, received.length);
    });
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const until = (count: number): Promise<Received[]> =>
    vi.waitFor(
      () => {
        if (received.length < count) throw new Error(`${received.length} of ${count} messages arrived`);
        return received;
      },
      { timeout: 30_000, interval: 5 },
    );
  return { received, until, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook` };
}

function accept(response: ServerResponse): void {
  response.writeHead(204).end();
}

async function read(request: IncomingMessage): Promise<Received> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  const body = Buffer.concat(pieces).toString();
  const header = (name: string): string => String(request.headers[name] ?? "");
  return {
    id: header("webhook-id"),
    timestamp: header("webhook-timestamp"),
    signatures: header("webhook-signature").split(" "),
    body,
    json: JSON.parse(body),
    path: request.url ?? "",
  };
}
