import { parseNetwork } from "@serverless-harness/kit/address-ranges";
import { describe, expect, test } from "vitest";
import { askHttp1, askHttp2 } from "../http-client.ts";
import { AUTHORIZED, openDoor } from "../support.ts";

const REVIEW = JSON.stringify({ sessionId: "s", async: true, item: { item_id: "i1", file: "risky.py", pattern: "eval(" } });
const UNAUTHORIZED = { status: 401, body: { error: "unauthorized" } };
const network = (text: string) => parseNetwork(text) ?? expect.fail(text);

describe.each([
  ["HTTP/1.1", askHttp1],
  ["HTTP/2", askHttp2],
])("a call without a token over %s", (_version, ask) => {
  const run = (origin: string, headers = {}) => ask(origin, "/runs", { method: "POST", body: REVIEW, headers });

  test("is served on loopback under LEAF_COMPAT=seed", async () => {
    const { origin } = await openDoor({ seedApi: { compat: true } });
    expect(await run(origin)).toMatchObject({ status: 202 });
    expect(await ask(origin, "/runs/status?sessionId=s")).toMatchObject({ status: 200 });
    expect(await ask(origin, "/turn", { method: "POST", body: "{}" })).toMatchObject({ status: 400 });
  });

  test("is refused without that setting", async () => {
    const { origin } = await openDoor();
    expect(await run(origin)).toMatchObject(UNAUTHORIZED);
    expect(await run(origin, AUTHORIZED)).toMatchObject({ status: 202 });
  });

  test.each([
    ["a page in a browser", { origin: "http://evil.example" }],
    ["a page in a browser, of whatever site", { "sec-fetch-site": "same-origin" }],
    ["a proxy, which speaks for somebody else", { "x-forwarded-for": "203.0.113.9" }],
    ["a proxy that keeps to the standard", { forwarded: "for=203.0.113.9" }],
    ["somebody with a wrong token", { authorization: "Bearer wrong" }],
  ])("is refused if it comes from %s", async (_who, headers) => {
    const { origin, store } = await openDoor({ seedApi: { compat: true } });
    expect(await run(origin, headers)).toMatchObject(UNAUTHORIZED);
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  });

  test("is served from a network that is named alone: what comes through a proxy of it counts as from there", async () => {
    const here = await openDoor({ seedApi: { compat: true, openNetworks: [network("127.0.0.0/8")] } });
    expect(await run(here.origin, { "x-forwarded-for": "10.1.2.3" })).toMatchObject({ status: 202 });
    const elsewhere = await openDoor({ seedApi: { compat: true, openNetworks: [network("10.0.0.0/8")] } });
    expect(await run(elsewhere.origin)).toMatchObject(UNAUTHORIZED);
  });

  test("never gets further than the seed's own routes", async () => {
    const { origin } = await openDoor({ seedApi: { compat: true } });
    const list = await ask(origin, "/harness.leaf.v1.LeafService/List", {
      method: "POST",
      body: "{}",
      headers: { "content-type": "application/json" },
    });
    expect(list.status).toBe(401);
    expect(Object.keys((await ask(origin, "/health")).body)).toEqual(["status", "version"]);
  });
});

test("a name that leads to this machine is not enough for a call without a token", async () => {
  const { origin } = await openDoor({ seedApi: { compat: true } });
  const { hostname, port } = new URL(origin);
  const { connect } = await import("node:net");
  const status = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.end(`GET /runs/status?sessionId=s HTTP/1.1\r\nHost: rebound.example:${port}\r\nConnection: close\r\n\r\n`);
    });
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("end", () => resolve(text.split("\r\n")[0] ?? "")).on("error", reject);
  });
  expect(status).toBe("HTTP/1.1 401 Unauthorized");
});
