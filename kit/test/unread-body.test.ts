import * as http from "node:http";
import { Health } from "@serverless-harness/proto/health";
import { expect, onTestFinished, test } from "vitest";
import { formatAddress } from "../address.ts";
import { envelopeHeader } from "../connect/envelope.ts";
import { HealthState } from "../health.ts";
import { startServer } from "../testing/index.ts";

/** Larger than the limit, and than what Node reads ahead. */
const TOO_LARGE = 5 * 1024 * 1024;

test.each([
  ["a message", "application/proto", Buffer.alloc(TOO_LARGE), "Check", 429],
  ["a stream", "application/connect+proto", Buffer.concat([envelopeHeader(0, TOO_LARGE), Buffer.alloc(TOO_LARGE)]), "Watch", 200],
])("a connection of HTTP/1.1 serves the next request after %s that was refused before its end", async (_what, type, body, name, status) => {
  const { server } = await startServer({ routes: (router) => new HealthState([]).routes(router) });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  const ports = new Set<number | undefined>();
  const post = (method: string, contentType: string, bytes: Buffer): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const headers = { "content-type": contentType, "content-length": bytes.length };
      const request = http.request(`${formatAddress(server.address)}/${Health.typeName}/${method}`, { method: "POST", agent, headers });
      request.on("socket", (socket) => socket.once("connect", () => ports.add(socket.localPort)));
      request.on("error", reject);
      request.on("response", (response) => response.resume().on("end", () => resolve(response.statusCode)));
      request.end(bytes);
    });
  expect(await post(name, type, body)).toBe(status);
  expect(await post("Check", "application/proto", Buffer.alloc(0))).toBe(200);
  expect(ports.size).toBe(1);
});
