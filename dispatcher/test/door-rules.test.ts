import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import { EnvReader } from "@serverless-harness/kit/env";
import { describe, expect, onTestFinished, test } from "vitest";
import { type DoorRules, hostsAt, readDoorRules } from "../door/rules.ts";
import { runDispatcher } from "./process.ts";
import { newStore, TOKEN } from "./support.ts";

const GET = "/harness.leaf.v1.LeafService/List";
const CONSOLE = "https://console.example:8443";
const NONE = { DISPATCHER_WAKER: "none" };

interface Told {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}
type Ask = (
  origin: string,
  host: string,
  method: string,
  path: string,
  headers?: Readonly<Record<string, string>>,
  body?: string,
) => Promise<Told>;

const overHttp1: Ask = async (origin, host, method, path, headers = {}, body = "") => {
  const { hostname, port } = new URL(origin);
  const request = http.request({ host: hostname, port, method, path, headers: { ...headers, host, connection: "close" } });
  request.end(body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, text };
};

const overHttp2: Ask = async (origin, host, method, path, headers = {}, body = "") => {
  const session = http2.connect(origin);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ":method": method, ":path": path, ":authority": host, ...headers }, { endStream: body === "" });
  if (body !== "") stream.end(body);
  const [head] = (await once(stream, "response")) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader];
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk;
  return { status: head[":status"] ?? 0, headers: head, text };
};

const VERSIONS: ReadonlyArray<readonly [string, Ask]> = [
  ["HTTP/1.1", overHttp1],
  ["HTTP/2", overHttp2],
];
const AS_OPERATOR = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
const preflight = (origin: string) => ({
  origin,
  "access-control-request-method": "POST",
  "access-control-request-headers": "authorization,content-type",
});

describe.each(VERSIONS)("a dispatcher for this machine alone, over %s", (_version, ask) => {
  test("is called by this machine's names, and by no name that leads here", async () => {
    const { origin } = await runDispatcher(await newStore(), NONE);
    const { port } = new URL(origin);
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, "LOCALHOST", `[::1]:${port}`, "localhost."])
      expect((await ask(origin, host, "GET", "/health")).status).toBe(200);
    for (const host of [`rebound.example:${port}`, "127.0.0.1.nip.example", "localhost.evil.example", "10.0.0.1", "[::2]"]) {
      const refused = await ask(origin, host, "GET", "/health");
      expect(refused.status).toBe(421);
      expect(JSON.parse(refused.text)).toMatchObject({
        error: "host_not_allowed",
        message: expect.stringContaining("DISPATCHER_ALLOWED_HOSTS"),
      });
    }
    const rpc = await ask(origin, "rebound.example", "POST", GET, AS_OPERATOR, "{}");
    expect([rpc.status, JSON.parse(rpc.text)]).toMatchObject([
      403,
      { code: "permission_denied", details: [{ debug: { reason: "host_not_allowed" } }] },
    ]);
    expect((await ask(origin, "rebound.example", "GET", "/livez")).status).toBe(421);
  });

  test("is called by the names that are set as well", async () => {
    const { origin } = await runDispatcher(await newStore(), { ...NONE, DISPATCHER_ALLOWED_HOSTS: "leaf.example, Other.Example" });
    for (const host of ["leaf.example", "other.example:443", "localhost"])
      expect((await ask(origin, host, "GET", "/health")).status).toBe(200);
    expect((await ask(origin, "sub.leaf.example", "GET", "/health")).status).toBe(421);
  });

  test("tells browsers nothing that lets a page in, unless its origin is set", async () => {
    const { origin } = await runDispatcher(await newStore(), NONE);
    const asked = await ask(origin, "localhost", "OPTIONS", GET, preflight(CONSOLE));
    expect([asked.status, JSON.parse(asked.text)]).toMatchObject([403, { details: [{ debug: { reason: "origin_not_allowed" } }] }]);
    const plain = await ask(origin, "localhost", "OPTIONS", "/turn", preflight(CONSOLE));
    expect([plain.status, JSON.parse(plain.text)]).toMatchObject([403, { error: "origin_not_allowed" }]);
    const called = await ask(origin, "localhost", "POST", GET, { ...AS_OPERATOR, origin: CONSOLE }, "{}");
    expect(called.status).toBe(200);
    for (const { headers } of [asked, plain, called])
      expect(Object.keys(headers).filter((name) => name.startsWith("access-control") || name === "vary")).toEqual([]);
  });
});

describe.each(VERSIONS)("pages of an origin that is set, over %s", (_version, ask) => {
  const open = async () =>
    (await runDispatcher(await newStore(), { ...NONE, DISPATCHER_ALLOWED_ORIGINS: `${CONSOLE},http://localhost:3000` })).origin;

  test.each([GET, "/turn", "/v1/leaves/x/events", "/nothing/here"])("may ask whether they may call %s", async (path) => {
    const { status, headers, text } = await ask(await open(), "localhost", "OPTIONS", path, preflight(CONSOLE));
    expect({ status, text }).toEqual({ status: 204, text: "" });
    expect(headers).toMatchObject({
      "access-control-allow-origin": CONSOLE,
      "access-control-allow-methods": "GET, HEAD, POST",
      vary: "origin",
    });
    expect(String(headers["access-control-allow-headers"]).split(", ")).toEqual(
      expect.arrayContaining(["authorization", "content-type", "last-event-id"]),
    );
    expect(headers["access-control-allow-credentials"]).toBeUndefined();
  });

  test("read answers and refusals, of RPCs in bytes too; pages of other origins do not", async () => {
    const origin = await open();
    const inBytes = { ...AS_OPERATOR, "content-type": "application/proto" };
    for (const headers of [AS_OPERATOR, inBytes, { "content-type": "application/json" }]) {
      const told = await ask(origin, "localhost", "POST", GET, { ...headers, origin: CONSOLE });
      expect(told.headers["access-control-allow-origin"]).toBe(CONSOLE);
      expect(String(told.headers["access-control-expose-headers"])).toContain("grpc-status");
    }
    for (const other of ["https://console.example", "http://console.example:8443", "null", `${CONSOLE}.evil.example`]) {
      const { headers } = await ask(origin, "localhost", "POST", GET, { ...AS_OPERATOR, origin: other });
      expect([headers["access-control-allow-origin"], headers["vary"]]).toEqual([undefined, "origin"]);
      expect((await ask(origin, "localhost", "OPTIONS", GET, preflight(other))).status).toBe(403);
    }
  });
});

test("the port of probes is called by this machine's names alone, too", async () => {
  const { line } = await runDispatcher(await newStore(), { ...NONE, DISPATCHER_METRICS_LISTEN: "127.0.0.1:0" });
  const { address }: { address: string } = JSON.parse(await line("metrics are served"));
  expect((await overHttp1(address, "localhost", "GET", "/metrics")).status).toBe(200);
  for (const host of ["rebound.example", "a@localhost", "["]) expect((await overHttp1(address, host, "GET", "/metrics")).status).toBe(421);
});

describe("the rules", () => {
  const read = (hosts: string, origins = ""): DoorRules => {
    const settings = { hosts: "HOSTS", origins: "ORIGINS" };
    const reader = new EnvReader({ HOSTS: hosts, ORIGINS: origins });
    return reader.done(readDoorRules(reader, settings));
  };

  test("take any name where other machines can reach us, unless some are set", () => {
    const everywhere = { kind: "tcp", host: "0.0.0.0", port: 1 } as const;
    expect(hostsAt(everywhere, read(""))).toBeUndefined();
    expect(hostsAt({ kind: "unix", path: "/s" }, read(""))).toBeUndefined();
    expect(hostsAt(everywhere, read("leaf.example,2001:db8::1"))).toEqual(new Set(["leaf.example", "[2001:db8::1]"]));
    expect(hostsAt({ kind: "tcp", host: "127.0.0.9", port: 1 }, read(""))).toEqual(
      new Set(["localhost", "127.0.0.1", "[::1]", "127.0.0.9"]),
    );
  });

  test.each([
    ["a name with a port", "leaf.example:80", ""],
    ["a URL in place of a name", "https://leaf.example", ""],
    ["a wildcard", "*", ""],
    ["an empty word", "a,,b", ""],
    ["an origin with a path", "", "https://console.example/"],
    ["an origin without a scheme", "", "console.example"],
    ["every origin", "", "*"],
    ["the origin of no page", "", "null"],
  ])("are refused with %s, by the variable's name", (_what, hosts, origins) => {
    expect(() => read(hosts, origins)).toThrow(hosts === "" ? "ORIGINS" : "HOSTS");
  });
});
