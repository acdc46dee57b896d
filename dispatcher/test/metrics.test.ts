import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafService, UsageSchema } from "@serverless-harness/proto/leaf";
import { expect, onTestFinished, test } from "vitest";
import { runDispatcher } from "./process.ts";
import { allEvents, newStore, TOKEN, workerNamed } from "./support.ts";

/** What of Grafana's dashboards is read here. */
interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly templating: { readonly list: ReadonlyArray<{ readonly name: string; readonly type: string; readonly query: string }> };
  readonly panels: readonly Panel[];
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly datasource: { readonly type: string; readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: ReadonlyArray<{ readonly refId: string; readonly expr: string; readonly legendFormat: string }>;
}

async function dashboard(): Promise<Dashboard> {
  return JSON.parse(await readFile(new URL("../dashboards/dispatcher.json", import.meta.url), "utf8")) as Dashboard;
}

/** What a dispatcher that was used tells, by name and labels. */
async function scrape(origin: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${origin}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

/** Names of metrics in an expression of PromQL: words that are neither functions nor labels nor units of time. */
function metricsIn(expr: string): string[] {
  const bare = expr.replace(/\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)/g, "");
  return [...bare.matchAll(/[a-z_:][a-z0-9_:]*(?!\w*\s*\()/g)].map(([name]) => name).filter((name) => name.includes("_"));
}

test("the metrics tell what went through a dispatcher, what waits, and which brains worked", async () => {
  const { leaves, origin, line } = await runDispatcher(await newStore());
  await allEvents(leaves.run({ spec: { prompt: "say hello", tenant: "acme" }, idempotencyKey: "k" }));
  await leaves.submit({ spec: { prompt: "say hello", tenant: "acme" }, idempotencyKey: "k" });
  await line('"msg":"brain exited with code 0"');
  const samples = await scrape(origin);
  const expected = {
    'dispatcher_leaves_submitted_total{tenant="acme"}': 1,
    dispatcher_submissions_repeated_total: 1,
    'dispatcher_leaves{state="ready"}': 0,
    'dispatcher_leaves{state="running"}': 0,
    dispatcher_store_up: 1,
    dispatcher_claim_wait_seconds_count: 1,
    dispatcher_oldest_wait_seconds: 0,
    dispatcher_brains: 0,
    dispatcher_brains_started_total: 1,
    dispatcher_brains_crashed_total: 0,
    'dispatcher_tenant_unfinished_leaves{tenant="acme"}': 0,
    'dispatcher_tenant_tokens_today{tenant="acme"}': 0,
    'dispatcher_tenant_usd_today{tenant="acme"}': 0,
  };
  expect(Object.fromEntries(Object.keys(expected).map((name) => [name, samples.get(name)]))).toEqual(expected);
  expect(samples.get("dispatcher_brain_seconds_total")).toBeGreaterThan(0);
  expect(samples.get('dispatcher_tenant_bytes{tenant="acme"}')).toBeGreaterThan(0);
});

test("what the leaves of a tenant use is told by its name", async () => {
  const opened = await newStore();
  const { leaves, origin } = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
  await leaves.submit({ spec: { prompt: "p", tenant: "acme" } });
  const claim = (await opened.store.claim(workerNamed("w"), 60_000)) ?? expect.fail("nothing to claim");
  const usage = create(UsageSchema, { inputTokens: 30n, outputTokens: 12n, costMicroUsd: 250_000n });
  await opened.store.append(claim, [{ event: { case: "usage", value: usage } }]);
  const samples = await scrape(origin);
  expect(samples.get('dispatcher_tenant_unfinished_leaves{tenant="acme"}')).toBe(1);
  expect(samples.get('dispatcher_tenant_tokens_today{tenant="acme"}')).toBe(42);
  expect(samples.get('dispatcher_tenant_usd_today{tenant="acme"}')).toBeCloseTo(0.25);
});

test("a leaf that nobody takes is seen to wait, and a store that is gone to be away", async () => {
  const opened = await newStore();
  const { leaves, origin } = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
  const { leaf } = await leaves.submit({ spec: { prompt: "p" } });
  const first = await scrape(origin);
  expect(first.get('dispatcher_leaves{state="ready"}')).toBe(1);
  let waits = first.get("dispatcher_oldest_wait_seconds") ?? 0;
  while (waits === 0) waits = (await scrape(origin)).get("dispatcher_oldest_wait_seconds") ?? 0;
  await leaves.cancel({ leafId: leaf?.leafId ?? "" });
  while ((await scrape(origin)).get("dispatcher_oldest_wait_seconds") !== 0);
  const last = await scrape(origin);
  expect(last.get("dispatcher_cancels_total")).toBe(1);
  expect(last.get("dispatcher_claim_wait_seconds_count")).toBe(0);
  await rm(join(opened.directory, "leaf.db"));
  expect((await scrape(origin)).get("dispatcher_store_up")).toBe(0);
});

test("every metric that the dashboard asks for is one that a dispatcher tells", async () => {
  const { origin } = await runDispatcher(await newStore(), { DISPATCHER_WAKER: "none" });
  const transport = createTransport({ address: parseAddress(origin) ?? expect.fail(origin), token: TOKEN });
  onTestFinished(() => transport.close());
  await createClient(LeafService, transport).submit({ spec: { prompt: "p" } });
  const told = new Set([...(await scrape(origin)).keys()].map((name) => name.replace(/\{.*/, "")));
  const asked = (await dashboard()).panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => metricsIn(expr)));
  expect(asked.length).toBeGreaterThan(15);
  expect(asked.filter((name) => !told.has(name))).toEqual([]);
  const own = [...told].filter((name) => name.startsWith("dispatcher_") && !/_(?:sum|count)$/.test(name));
  expect(own.filter((name) => !asked.includes(name))).toEqual([]);
});

test("the dashboard is one that Grafana takes: each panel has its own place, words, and a data source to choose", async () => {
  const { uid, title, schemaVersion, templating, panels } = await dashboard();
  expect({ uid, title, schemaVersion }).toEqual({ uid: "leaf-dispatcher", title: "Serverless Harness", schemaVersion: 39 });
  expect(templating.list).toMatchObject([{ name: "datasource", type: "datasource", query: "prometheus" }]);
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const taken = new Set<string>();
  for (const { type, title: name, description, datasource, gridPos, targets } of panels) {
    expect(["stat", "timeseries"]).toContain(type);
    expect([name, description].filter((text) => text === "")).toEqual([]);
    expect(datasource).toEqual({ type: "prometheus", uid: `\${datasource}` });
    expect(targets.map(({ refId }) => refId)).toEqual(targets.map((_, i) => String.fromCharCode(65 + i)));
    expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.has(`${x} ${y}`)).toBe(false);
        taken.add(`${x} ${y}`);
      }
  }
});
