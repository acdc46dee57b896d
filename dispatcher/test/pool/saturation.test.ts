import { Code } from "@connectrpc/connect";
import { Metrics } from "@serverless-harness/kit/metrics";
import { LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, WAITS_FOR_ROOM } from "@serverless-harness/session";
import { expect, test } from "vitest";
import { meterPool, PoolState } from "../../pool/pool-state.ts";
import { askHttp1 } from "../http-client.ts";
import { AUTHORIZED, allEvents, claimed, finishNext, idlePool, newStore, openDoor, refusal } from "../support.ts";

const MINUTE_MS = 60_000;

/** As a brain does that finds no room for the leaf which is next. */
async function findNoRoom(store: LeafStore): Promise<void> {
  await store.suspend(await claimed(store), { notBeforeMs: Date.now() }, `${WAITS_FOR_ROOM}: all are full`, []);
}

async function submitted(store: LeafStore): Promise<void> {
  while ((await store.backlog()).ready === 0) await store.waitForWork(1000, AbortSignal.timeout(1000));
}

test("a turn that no sandbox has room for is refused after a while, goes on waiting, and is answered when it is asked for again", async () => {
  const { store, origin } = await openDoor({ saturationMs: 100 });
  const headers = { ...AUTHORIZED, "idempotency-key": "k" };
  const post = () => askHttp1(origin, "/turn", { method: "POST", body: '{"prompt":"p"}', headers });
  const turn = post();
  await submitted(store);
  await findNoRoom(store);
  const { status, headers: told, body } = await turn;
  expect([status, told["retry-after"], body["error"]]).toEqual([503, "5", "saturated"]);
  expect(body).toMatchObject({ sessionId: expect.any(String), leafId: expect.any(String) });
  await finishNext(store, "at last");
  expect(await post()).toMatchObject({ status: 200, body: { response: "at last", leafId: body["leafId"] } });
});

test("a Run that no sandbox has room for is refused after a while, and its leaf waits without a failed attempt", async () => {
  const { store, leaves } = await openDoor({ saturationMs: 100 });
  const run = refusal(allEvents(leaves.run({ spec: { prompt: "p" } })));
  await submitted(store);
  await findNoRoom(store);
  expect(await run).toMatchObject({ code: Code.ResourceExhausted, reason: "saturated", retryAfterMs: 5000 });
  const [leaf] = (await store.list({ limit: 1 })).leaves;
  expect([leaf?.state, leaf?.failedAttempts]).toEqual([LeafState.SUSPENDED, 0]);
});

test("a turn whose leaf is taken up in time is waited for to its end", async () => {
  const { store, origin } = await openDoor({ saturationMs: 1500 });
  const turn = askHttp1(origin, "/turn", { method: "POST", body: '{"prompt":"p"}', headers: AUTHORIZED });
  await submitted(store);
  for (let tries = 3; tries > 0; tries--) await findNoRoom(store);
  await finishNext(store, "done", ["a piece"]);
  expect(await turn).toMatchObject({ status: 200, body: { response: "done" } });
});

test("who watches over the system is told whether sandboxes are there and have room, and that is counted", async () => {
  const { store } = await newStore();
  const { origin } = await openDoor({ store, pool: idlePool(store) });
  const health = async () => {
    const { status, body } = await askHttp1(origin, "/health", { headers: AUTHORIZED });
    return { status, is: body["status"], problem: body["problem"], sandboxes: body["sandboxes"] };
  };
  const report = (name: string, aliveMs = MINUTE_MS, tenant = "") =>
    store.sandboxes.report({ name, tenant, address: `http://${name}:1`, stateId: name, capacity: 1 }, aliveMs);
  expect(await health()).toMatchObject({
    status: 503,
    is: "no_sandbox",
    problem: expect.stringContaining("no sandbox of the pool is known"),
  });
  await report("a", 1);
  await report("laptop", MINUTE_MS, "acme");
  await expect
    .poll(health, { timeout: 10_000 })
    .toMatchObject({ status: 503, problem: expect.stringContaining("every sandbox of the pool is away (a)") });
  await store.sandboxes.remove("laptop");
  await report("a");
  await report("b");
  await expect.poll(health, { timeout: 10_000 }).toMatchObject({ status: 200, is: "ok", sandboxes: { free: 2, away: 0 } });
  await store.sandboxes.place({ tenant: "acme", sessionId: "s", epoch: 1n }, {}, MINUTE_MS);
  await store.sandboxes.drain("b", true);
  await expect.poll(health, { timeout: 10_000 }).toMatchObject({
    status: 200,
    is: "ok",
    problem: "no sandbox of the pool has room (1 full, 1 draining), so leaves wait: add one, or let one take sessions again",
    sandboxes: { free: 0, full: 1, draining: 1, away: 0, working: 1, sleeping: 0 },
  });
  const metrics = new Metrics();
  meterPool(new PoolState(store), metrics);
  const text = await metrics.text();
  for (const line of ['dispatcher_sandboxes{state="full"} 1', 'dispatcher_sandbox_sessions{state="working"} 1'])
    expect(text).toContain(line);
});
