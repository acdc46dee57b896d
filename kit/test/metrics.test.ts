import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Health } from "@serverless-harness/proto/health";
import { describe, expect, it, onTestFinished } from "vitest";
import { HarnessError } from "../errors.ts";
import { HealthState } from "../health.ts";
import { createLogger } from "../log.ts";
import { Metrics } from "../metrics.ts";
import { type ProbesOptions, probes, serveProbes } from "../probes.ts";
import { startServer } from "../testing/index.ts";

const log = createLogger("test", "silent");

async function start(more: Partial<ProbesOptions> = {}) {
  const health = new HealthState([]);
  const metrics = new Metrics();
  const { server, client } = await startServer({
    routes: (router) => health.routes(router),
    interceptors: [metrics.interceptor()],
    fallback: probes({ health, metrics, log, ...more }),
  });
  if (server.address.kind !== "tcp") throw new Error("a TCP port is expected");
  const origin = `http://127.0.0.1:${server.address.port}`;
  const get = (path: string, init: RequestInit = {}) =>
    fetch(origin + path, { ...init, headers: { connection: "close", ...init.headers } });
  return { health, metrics, client: createClient(Health, client()), get };
}

/** The value of a metric's line. */
const sample = (text: string, line: string) =>
  text
    .split("\n")
    .find((one) => one.startsWith(`${line} `))
    ?.split(" ")[1];

describe("metrics", () => {
  it("count RPCs by service, method and code, streams by how they ended", async () => {
    const { metrics, health, client } = await start();
    await client.check({});
    await client.check({});
    await expect(client.check({ service: "nobody" })).rejects.toThrow();
    const left = new AbortController();
    await expect(
      (async () => {
        for await (const _ of client.watch({}, { signal: left.signal })) left.abort();
      })(),
    ).rejects.toThrow(ConnectError);
    const watching = (async () => {
      for await (const _ of client.watch({})) health.stopServing();
    })();
    await watching;
    const count = (method: string, code: string) =>
      metrics
        .text()
        .then((text) => sample(text, `rpc_duration_seconds_count{service="grpc.health.v1.Health",method="${method}",code="${code}"}`));
    expect(await count("Check", "ok")).toBe("2");
    expect(await count("Check", "not_found")).toBe("1");
    expect(await count("Watch", "ok")).toBe("1");
    // The server hears of a client that left when it hears of it.
    while ((await count("Watch", "canceled")) !== "1") await new Promise((resolve) => setImmediate(resolve));
  });

  it("hold the process's own, and what a service adds", async () => {
    const metrics = new Metrics();
    metrics.gauge("things", "Things.", () => 7);
    metrics.gauge("broken", "Broken.", () => Promise.reject(new Error("gone")));
    metrics.gauges("states", "States.", "state", async () => ({ ready: 1, running: 2 }));
    const ends = metrics.counter("ends_total", "Ends.", { name: "cause", values: ["exited", "lost"] });
    ends.add(3, "exited");
    const text = await metrics.text();
    expect(sample(text, "things")).toBe("7");
    expect(sample(text, "broken")).toBe("Nan");
    expect(sample(text, 'states{state="running"}')).toBe("2");
    expect(sample(text, 'ends_total{cause="exited"}')).toBe("3");
    expect(sample(text, 'ends_total{cause="lost"}')).toBe("0");
    for (const name of ["process_resident_memory_bytes", "process_cpu_seconds_total", "nodejs_eventloop_lag_p99_seconds"])
      expect(Number(sample(text, name))).toBeGreaterThanOrEqual(0);
  });
});

describe("metrics by what clients name", () => {
  it("have a line for the first values, and one for all others together", async () => {
    const metrics = new Metrics();
    const count = metrics.countBy("things_total", "Things.", "tenant", 2);
    for (const tenant of ["a", "b", "a", "c", "d"]) count(tenant);
    const text = await metrics.text();
    expect(text.match(/^things_total\{.*$/gm)).toEqual([
      'things_total{tenant="a"} 2',
      'things_total{tenant="b"} 1',
      'things_total{tenant="other"} 2',
    ]);
  });

  it("may be kept elsewhere, or be times", async () => {
    const metrics = new Metrics();
    metrics.total("started_total", "Started.", () => 3);
    metrics.total("broken_total", "Broken.", () => {
      throw new Error("gone");
    });
    metrics.duration("wait_seconds", "Waits.")(0.2);
    for (const text of [await metrics.text(), await metrics.text()]) {
      expect(sample(text, "started_total")).toBe("3");
      expect(sample(text, "broken_total")).toBe("0");
      expect(sample(text, "wait_seconds_count")).toBe("1");
    }
  });
});

describe("probes", () => {
  it("tell that the process lives while it drains too", async () => {
    const { health, get } = await start();
    health.stopServing();
    expect([(await get("/livez")).status, await (await get("/livez")).text()]).toEqual([200, "ok\n"]);
    expect((await get("/livez", { method: "DELETE" })).status).toBe(405);
  });

  it("tell health, and the drain", async () => {
    const { health, get } = await start();
    expect([(await get("/healthz")).status, await (await get("/healthz")).text()]).toEqual([200, "ok\n"]);
    health.stopServing();
    expect([(await get("/healthz?verbose")).status, await (await get("/healthz")).text()]).toEqual([503, "draining\n"]);
    const head = await get("/healthz", { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([503, ""]);
  });

  it("give metrics to who may read them, and to nobody else", async () => {
    const { get } = await start({
      authorize: (header) => {
        if (header === undefined) throw new HarnessError(Code.Unauthenticated, "unauthenticated", "a token is needed");
        if (header !== "Bearer right") throw new HarnessError(Code.PermissionDenied, "out_of_scope", "not this one");
      },
    });
    const none = await get("/metrics");
    expect([none.status, none.headers.get("www-authenticate"), await none.text()]).toEqual([401, "Bearer", "a token is needed\n"]);
    expect((await get("/metrics", { headers: { authorization: "Bearer wrong" } })).status).toBe(403);
    const right = await get("/metrics", { headers: { authorization: "Bearer right" } });
    expect([right.status, right.headers.get("content-type")]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"]);
    expect(await right.text()).toContain("# TYPE rpc_duration_seconds histogram");
    expect((await get("/healthz")).status).toBe(200);
  });

  it("refuse other methods, and leave other paths to who serves them", async () => {
    const { get } = await start();
    for (const path of ["/livez", "/healthz", "/metrics"]) {
      const posted = await get(path, { method: "POST", body: "x" });
      expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    }
    for (const path of ["/", "/metrics/", "/healthzz"]) expect((await get(path)).status).toBe(404);
    const { get: behind } = await start({
      next: (_request, response) => {
        response.writeHead(418);
        response.end();
      },
    });
    expect((await behind("/else")).status).toBe(418);
  });

  it("are served alone on an address of their own, where there is one", async () => {
    const options = { health: new HealthState([]), metrics: new Metrics(), log };
    expect(await serveProbes(undefined, options)).toBeUndefined();
    const server = await serveProbes({ kind: "tcp", host: "127.0.0.1", port: 0 }, options);
    onTestFinished(() => server?.close(0));
    if (server?.address.kind !== "tcp") throw new Error("a TCP port is expected");
    const origin = `http://127.0.0.1:${server.address.port}`;
    expect((await fetch(`${origin}/metrics`)).status).toBe(200);
    const rpc = await fetch(`${origin}/grpc.health.v1.Health/Check`, { method: "POST", body: "{}" });
    expect([rpc.status, await rpc.json()]).toEqual([404, expect.objectContaining({ code: "unimplemented" })]);
  });
});
