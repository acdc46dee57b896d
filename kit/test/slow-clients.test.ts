import { once } from "node:events";
import { request } from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { formatAddress } from "../address.ts";
import { createAuthority, startServer } from "../testing/index.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
/** HEADERS of stream 1 that go on in a frame which never comes; `:method: GET` is all of it. */
const HALF_HEADERS = Buffer.from([0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]);
const BEGUN = "GET / HTTP/1.1\r\nHost: here\r\nAccept: ";
const WHOLE = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/** A server with little patience, whose answers take longer than that. */
async function startImpatient(patienceMs: number, tls = false) {
  const material = tls ? { key: (await createAuthority()).issue("here") } : undefined;
  return startServer({
    routes: () => undefined,
    patienceMs,
    ...(material === undefined ? {} : { tls: material.key, address: { kind: "tcp", host: "127.0.0.1", port: 0, tls: true } as const }),
    fallback: async (_request, response) => {
      await sleep(patienceMs * 5);
      response.writeHead(200);
      response.end("here you are");
    },
  });
}

test.each<[string, readonly (string | Buffer)[]]>([
  ["nothing", []],
  ["one byte", ["G"]],
  ["the begin of a header", [BEGUN]],
  ["a whole request, and the begin of another", [WHOLE, BEGUN]],
  ["the begin of what opens HTTP/2", [PREFACE.subarray(0, 5)]],
  ["what opens HTTP/2, and no request", [PREFACE, SETTINGS]],
  ["the begin of a header of HTTP/2", [PREFACE, SETTINGS, HALF_HEADERS]],
])("a client that sends %s and no more is cut", async (_what, parts) => {
  const { server } = await startImpatient(100);
  if (server.address.kind !== "tcp") throw new Error("a port is expected");
  const socket = net.connect(server.address.port, "127.0.0.1").resume();
  for (const part of parts) socket.write(part);
  await once(socket, "close");
});

test("a client that never finishes its TLS handshake is cut", async () => {
  const { server } = await startImpatient(100, true);
  if (server.address.kind !== "tcp") throw new Error("a port is expected");
  const socket = net.connect(server.address.port, "127.0.0.1").resume();
  // A record of a handshake that is announced with 512 bytes.
  socket.write(Buffer.from([22, 3, 1, 2, 0, 1]));
  await once(socket, "close");
});

test("a client that waits for its answer is not, over either version", async () => {
  const { server } = await startImpatient(60);
  const url = formatAddress(server.address);
  const first = request(url).end();
  const [response] = await once(first, "response");
  expect(await text(response)).toBe("here you are");
  const session = http2.connect(url);
  const stream = session.request({ ":path": "/" });
  expect(await text(stream)).toBe("here you are");
  session.close();
});

test("streams of one connection are bounded, and calls beyond the bound are answered in their turn", async () => {
  const { server } = await startServer({ routes: () => undefined, maxStreams: 2 });
  const session = http2.connect(formatAddress(server.address));
  await once(session, "remoteSettings");
  expect(session.remoteSettings.maxConcurrentStreams).toBe(2);
  const answers = Array.from({ length: 50 }, async () => {
    const [headers] = await once(session.request({ ":path": "/" }).resume(), "response");
    return headers[":status"];
  });
  expect(await Promise.all(answers)).toEqual(Array(50).fill(404));
  session.close();
});
