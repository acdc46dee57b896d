import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createLogger } from "@serverless-harness/kit/log";
import { serve } from "@serverless-harness/kit/serve";
import { BrainService } from "@serverless-harness/proto/brain";
import { LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { KnativeWaker, type KnativeWakerOptions } from "../waker/knative.ts";
import { askHttp1 } from "./http-client.ts";
import { runDispatcher } from "./process.ts";
import { AUTHORIZED, claimed, finishNext, newLeaf, newStore, openDoor, originOf, SILENT, untilState } from "./support.ts";

/** A brain as its service has one: it works until nothing is ready, and a second call joins the first. `gate`: what its work waits for. */
async function openBrain(store: LeafStore, gate: Promise<unknown> = Promise.resolve()) {
  const seen = { calls: 0, reasons: [] as string[], most: 0 };
  let inFlight = 0;
  let current: Promise<{ claimed: number }> | undefined;
  const work = async (): Promise<{ claimed: number }> => {
    let count = 0;
    await gate;
    for (; (await store.backlog()).ready > 0; count++) await finishNext(store, "done");
    return { claimed: count };
  };
  const server = await serve({
    address: { kind: "tcp", host: "127.0.0.1", port: 0 },
    log: createLogger("test", "silent"),
    routes: (router) =>
      router.service(BrainService, {
        wake: async ({ reason }) => {
          seen.calls += 1;
          seen.reasons.push(reason);
          inFlight += 1;
          seen.most = Math.max(seen.most, inFlight);
          current ??= work().finally(() => {
            current = undefined;
          });
          return await current.finally(() => {
            inFlight -= 1;
          });
        },
      }),
  });
  onTestFinished(() => server.close(0));
  return { ...seen, seen, url: originOf(server) };
}

/** Something that answers before a brain does. Resolves with its address. */
async function openProxy(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Pass a call on to a brain, as an activator does. */
async function passOn(url: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body: Buffer[] = [];
  for await (const chunk of request) body.push(chunk as Buffer);
  const headers = { "content-type": String(request.headers["content-type"]), connection: "close" };
  const answer = await fetch(`${url}${request.url}`, { method: "POST", headers, body: Buffer.concat(body) });
  response.writeHead(answer.status, { "content-type": String(answer.headers.get("content-type")) });
  response.end(Buffer.from(await answer.arrayBuffer()));
}

function openKnative(store: LeafStore, url: string, options: Partial<KnativeWakerOptions> = {}): KnativeWaker {
  const defaults = { maxWakes: 1, leavesPerBrain: 50, timeoutMs: 60_000, restart: { baseMs: 10, maxMs: 20 } };
  const waker = new KnativeWaker({ store, log: SILENT, url, ...defaults, ...options });
  onTestFinished(() => waker.stop());
  return waker;
}

async function submit(store: LeafStore): Promise<string> {
  return (await store.submit(newLeaf())).leaf.leafId;
}

const until = (look: () => void): Promise<void> => vi.waitFor(look, { timeout: 20_000, interval: 10 });

describe("the waker of a cluster with Knative", () => {
  test("calls nobody while there is nothing to do", async () => {
    const { store } = await newStore();
    const { seen, url } = await openBrain(store);
    openKnative(store, url, { dutyMs: 40 }).start();
    await store.waitForWork(200, new AbortController().signal);
    expect(seen.calls).toBe(0);
  });

  test("calls the brain at a submit, and tells it why", async () => {
    const { store } = await newStore();
    const { seen, url } = await openBrain(store);
    const waker = openKnative(store, url);
    waker.start();
    const { leaves } = await openDoor({ store, waker });
    const { leaf } = await leaves.submit({ spec: { prompt: "p" } });
    await untilState(store, leaf?.leafId ?? "", LeafState.DONE);
    await until(() => expect(waker.status().wakes).toEqual({ inFlight: 0, answered: 1, failed: 0 }));
    expect(seen.reasons).toEqual(["submit"]);
  });

  test("calls once for a burst, and once more for what came when the brain was on its way out", async () => {
    const { store } = await newStore();
    const gate = Promise.withResolvers<void>();
    const { seen, url } = await openBrain(store, gate.promise);
    const late = { leafId: "" };
    // The brain is done, and its answer is still on the way.
    const proxy = await openProxy(async (request, response) => {
      const send = response.end.bind(response);
      response.end = ((body: Buffer) => {
        void (late.leafId === "" ? submit(store).then((id) => (late.leafId = id)) : Promise.resolve()).then(() => send(body));
        return response;
      }) as typeof response.end;
      await passOn(url, request, response);
    });
    const waker = openKnative(store, proxy);
    waker.start();
    const ids: string[] = [];
    for (let i = 0; i < 10; i++) {
      ids.push(await submit(store));
      waker.wake("submit");
    }
    await until(() => expect(seen.calls).toBe(1));
    gate.resolve();
    for (const id of ids) await untilState(store, id, LeafState.DONE);
    await until(() => expect(late.leafId).not.toBe(""));
    await untilState(store, late.leafId, LeafState.DONE);
    await until(() => expect(waker.status().wakes).toEqual({ inFlight: 0, answered: 2, failed: 0 }));
    expect([seen.calls, seen.most]).toEqual([2, 1]);
  });

  test("calls again while the service answers 5xx, cuts the connection, or is not there, and tells of it at /health until it works", async () => {
    const { store } = await newStore();
    const { url } = await openBrain(store);
    const answers = [503, 500, 0, 504, 502];
    const hold = Promise.withResolvers<void>();
    const proxy = await openProxy(async (request, response) => {
      const status = answers.shift();
      if (status === undefined) {
        await hold.promise;
        return passOn(url, request, response);
      }
      if (status === 0) return void request.socket.destroy();
      response.writeHead(status, { "content-type": "text/plain" }).end("no healthy upstream");
    });
    const waker = openKnative(store, proxy);
    const id = await submit(store);
    waker.start();
    const { origin } = await openDoor({ store, waker });
    await until(() => expect(waker.status().wakes).toEqual({ inFlight: 1, answered: 0, failed: 5 }));
    const problem = expect.stringContaining(`brains can't be woken at ${proxy}`);
    expect(await askHttp1(origin, "/health", { headers: AUTHORIZED })).toMatchObject({
      status: 503,
      body: { status: "no_brain", problem },
    });
    hold.resolve();
    await untilState(store, id, LeafState.DONE);
    await until(() => expect(waker.status()).toMatchObject({ wakes: { answered: 1, failed: 5 } }));
    expect(waker.status().problem).toBeUndefined();
  });

  test("waits for an activator that is long to answer, and gives up one that never does", async () => {
    const { store } = await newStore();
    const { seen, url } = await openBrain(store);
    let calls = 0;
    const proxy = await openProxy(async (request, response) => {
      calls += 1;
      // The first one is never answered.
      if (calls > 1) await passOn(url, request, response);
    });
    const waker = openKnative(store, proxy, { timeoutMs: 300 });
    waker.start();
    await untilState(store, await submit(store), LeafState.DONE);
    await until(() => expect(waker.status().wakes).toEqual({ inFlight: 0, answered: 1, failed: 1 }));
    expect([calls, seen.calls]).toEqual([2, 1]);
  });

  test("calls again for leaves that run when their call was cut, so that the platform keeps the brain", async () => {
    const { store } = await newStore();
    const { seen, url } = await openBrain(store);
    const cut = Promise.withResolvers<void>();
    let first = true;
    const proxy = await openProxy(async (request, response) => {
      if (!first) return passOn(url, request, response);
      first = false;
      await cut.promise;
      request.socket.destroy();
    });
    const waker = openKnative(store, proxy);
    await submit(store);
    waker.start();
    await until(() => expect(waker.status().wakes?.inFlight).toBe(1));
    const held = await claimed(store);
    cut.resolve();
    await until(() => expect(seen.calls).toBe(1));
    await store.release(held, "");
    await untilState(store, held.leaf.leafId, LeafState.DONE);
  });

  test("makes as many calls at once as the leaves need brains, and no more than it may", async () => {
    const { store } = await newStore();
    const gate = Promise.withResolvers<void>();
    const { seen, url } = await openBrain(store, gate.promise);
    const waker = openKnative(store, url, { maxWakes: 3, leavesPerBrain: 2 });
    const ids = [await submit(store), await submit(store)];
    waker.start();
    await until(() => expect(waker.status().wakes?.inFlight).toBe(1));
    ids.push(await submit(store));
    await until(() => expect(waker.status().wakes?.inFlight).toBe(2));
    for (let i = 0; i < 10; i++) ids.push(await submit(store));
    await until(() => expect(seen.calls).toBe(3));
    gate.resolve();
    for (const id of ids) await untilState(store, id, LeafState.DONE);
    expect(seen.most).toBe(3);
  });

  test("stops at once in the middle of a call and of a back-off", async () => {
    const { store } = await newStore();
    const { url } = await openBrain(store, new Promise(() => undefined));
    const calling = openKnative(store, url);
    await submit(store);
    calling.start();
    await until(() => expect(calling.status().wakes?.inFlight).toBe(1));
    await calling.stop();
    expect(calling.status().wakes?.inFlight).toBe(0);
    const hour = 3_600_000;
    const refused = openKnative(store, "http://127.0.0.1:1", { restart: { baseMs: hour, maxMs: hour, random: () => 1 } });
    refused.start();
    await until(() => expect(refused.status().wakes?.failed).toBe(1));
    await refused.stop();
  });
});

describe("several dispatchers on one store", () => {
  test("wake a brain once, and the next one does when the one that called is stopped", async () => {
    const { store, url: storeUrl } = await newStore();
    const { seen, url } = await openBrain(store);
    const others = await Promise.all([1, 2].map(() => openLeafStore(storeUrl)));
    onTestFinished(async () => {
      await Promise.all(others.map((each) => each.close()));
    });
    const wakers = [store, ...others].map((each) => openKnative(each, url, { dutyMs: 400 }));
    for (const waker of wakers) waker.start();
    const ids: string[] = [];
    for (let i = 0; i < 4; i++) {
      ids.push(await submit(store));
      for (const waker of wakers) waker.wake("submit");
      await untilState(store, ids[i] ?? "", LeafState.DONE);
    }
    const called = (): KnativeWaker[] => wakers.filter((waker) => (waker.status().wakes?.answered ?? 0) > 0);
    await until(() => expect(called().length).toBe(1));
    expect(seen.most).toBe(1);
    await called()[0]?.stop();
    await untilState(store, await submit(store), LeafState.DONE);
    await until(() => expect(called().length).toBe(2));
    expect(seen.most).toBe(1);
  });

  test("lose no wake when the one that called is killed", async () => {
    const opened = await newStore();
    const { seen, url } = await openBrain(opened.store);
    const env = { DISPATCHER_WAKER: "knative", DISPATCHER_KNATIVE_URL: url };
    const first = await runDispatcher(opened, env);
    await first.leaves.submit({ spec: { prompt: "p" } });
    await first.line('"msg":"brain is done"');
    const second = await runDispatcher(opened, env);
    first.child.kill("SIGKILL");
    await first.exited;
    const { leaf } = await second.leaves.submit({ spec: { prompt: "p" } });
    await untilState(opened.store, leaf?.leafId ?? "", LeafState.DONE);
    expect(seen.most).toBe(1);
    expect(await second.health()).toMatchObject({ waker: "knative", wakes: { inFlight: 0, failed: 0 } });
  });
});
