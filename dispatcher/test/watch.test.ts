import * as http2 from "node:http2";
import * as net from "node:net";
import { Code } from "@connectrpc/connect";
import { type LeafEvent, LeafState } from "@serverless-harness/proto/leaf";
import { openLeafStore } from "@serverless-harness/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { AUTHORIZED, allEvents, claimed, FollowMeter, finishNext, newLeaf, newStore, openDoor, refusal, textDelta } from "./support.ts";

const WATCH = "/harness.leaf.v1.LeafService/Watch";

function watchBody(leafId: string): Buffer {
  const data = Buffer.from(JSON.stringify({ leafId }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

/** Number of enveloped messages in what was received. */
function countMessages(bytes: Buffer): number {
  let count = 0;
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt32BE(at + 1)) count += 1;
  return count;
}

describe("Watch", () => {
  test("resumed from every sequence number gives exactly the events behind it", async () => {
    const { leaves, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    await finishNext(
      store,
      "done",
      Array.from({ length: 150 }, (_, i) => `piece ${i}`),
    );
    const all = await allEvents(leaves.watch({ leafId: leaf.leafId }));
    expect(all.map((event) => event.seq)).toEqual(Array.from({ length: 153 }, (_, i) => BigInt(i + 1)));
    for (let after = 0; after <= all.length + 1; after += 1) {
      expect(await allEvents(leaves.watch({ leafId: leaf.leafId, afterSeq: BigInt(after) }))).toEqual(all.slice(after));
    }
  });

  test("is never silent for long, and neither is Run: empty messages come while a leaf waits, and every event all the same", async () => {
    const { leaves, store } = await openDoor({ keepAliveMs: 20 });
    const { leaf } = await store.submit(newLeaf());
    for (const open of [() => leaves.watch({ leafId: leaf.leafId }), () => leaves.run({ spec: { prompt: "p" } })]) {
      let empty = 0;
      const events: LeafEvent[] = [];
      for await (const message of open()) {
        if (message.event !== undefined) events.push(message.event);
        else if (!("leaf" in message) || message.leaf === undefined) {
          empty += 1;
          if (empty === 3) await finishNext(store, "done", ["piece"]);
        }
      }
      expect(empty).toBeGreaterThanOrEqual(3);
      expect(events).toEqual(await allEvents(leaves.watch({ leafId: events[0]?.leafId ?? "" })));
    }
  });

  test("broken off anywhere and resumed misses and repeats nothing", async () => {
    const { leaves, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    const claim = await claimed(store);
    const seqs: bigint[] = [];
    for (let round = 0; round < 10; round += 1) {
      await store.append(claim, [textDelta(`a${round}`), textDelta(`b${round}`)]);
      for await (const { event } of leaves.watch({ leafId: leaf.leafId, afterSeq: seqs.at(-1) ?? 0n })) {
        seqs.push(event?.seq ?? 0n);
        if (seqs.length % 2 === 0) break;
      }
    }
    expect(seqs).toEqual(Array.from({ length: 20 }, (_, i) => BigInt(i + 1)));
  });

  test("serves 50 watchers of a living leaf the same events", async () => {
    const { leaves, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    const watchers = Array.from({ length: 50 }, () => allEvents(leaves.watch({ leafId: leaf.leafId })));
    const claim = await claimed(store);
    for (let piece = 0; piece < 40; piece += 1) await store.append(claim, [textDelta(`piece ${piece}`)]);
    await store.finish(claim, { state: LeafState.CANCELLED }, []);
    const expected = await store.events(leaf.leafId, 0n, 1000);
    expect(expected).toHaveLength(43);
    for (const seen of await Promise.all(watchers)) expect(seen).toEqual(expected);
  });

  test("ends at once behind the end of a leaf that is over", async () => {
    const { leaves, store } = await openDoor();
    await store.submit(newLeaf());
    const leafId = await finishNext(store, "done");
    expect(await allEvents(leaves.watch({ leafId, afterSeq: 99n }))).toEqual([]);
  });
});

describe("a watcher that does not read", () => {
  /** 24 MiB of events: far more than windows and socket buffers hold. */
  async function openWithManyEvents() {
    const { store } = await newStore();
    const meter = new FollowMeter(store);
    const door = await openDoor({ store: meter.store });
    const { leaf } = await store.submit(newLeaf());
    await finishNext(store, "done", Array<string>(1536).fill("x".repeat(16 * 1024)));
    return { ...door, meter, leafId: leaf.leafId, total: 1539 };
  }

  test("is held back by HTTP/2, holds back nobody, and gets everything once it reads", async () => {
    const { origin, leaves, meter, leafId, total } = await openWithManyEvents();
    const session = http2.connect(origin);
    onTestFinished(() => session.destroy());
    const headers = { ...AUTHORIZED, ":method": "POST", ":path": WATCH, "content-type": "application/connect+json" };
    const slow = session.request(headers);
    slow.end(watchBody(leafId));
    await new Promise((resolve) => slow.once("response", resolve));

    expect(await allEvents(leaves.watch({ leafId }))).toHaveLength(total);
    const pulledBySlow = meter.pulled - total;
    expect(pulledBySlow).toBeLessThan(64);

    const chunks: Buffer[] = [];
    for await (const chunk of slow) chunks.push(chunk);
    expect(countMessages(Buffer.concat(chunks))).toBe(total + 1);
    expect(meter.pulled).toBe(2 * total);
  });

  test("is held back by TCP over HTTP/1.1", async () => {
    const { origin, leaves, meter, leafId, total } = await openWithManyEvents();
    const socket = net.connect(Number(new URL(origin).port), "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    const body = watchBody(leafId);
    const head = [
      `POST ${WATCH} HTTP/1.1`,
      "host: x",
      `authorization: ${AUTHORIZED.authorization}`,
      "content-type: application/connect+json",
      `content-length: ${body.length}`,
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    socket.write(body);
    await new Promise((resolve) => socket.once("readable", resolve));
    expect(await allEvents(leaves.watch({ leafId }))).toHaveLength(total);
    expect(meter.pulled - total).toBeLessThan(total / 2);
  });

  test.each(["HTTP/2", "HTTP/1.1"])("leaves nothing behind when it goes away over %s", async (version) => {
    const { origin, meter, leafId, total, leaves } = await openWithManyEvents();
    const port = Number(new URL(origin).port);
    if (version === "HTTP/2") {
      const session = http2.connect(origin);
      session.on("error", () => undefined);
      const headers = { ...AUTHORIZED, ":method": "POST", ":path": WATCH, "content-type": "application/connect+json" };
      const slow = session.request(headers).on("error", () => undefined);
      slow.end(watchBody(leafId));
      await new Promise((resolve) => slow.once("response", resolve));
      session.destroy();
    } else {
      const socket = net.connect(port, "127.0.0.1").on("error", () => undefined);
      const body = watchBody(leafId);
      const head = `POST ${WATCH} HTTP/1.1\r\nhost: x\r\nauthorization: ${AUTHORIZED.authorization}\r\n`;
      socket.write(`${head}content-type: application/connect+json\r\ncontent-length: ${body.length}\r\n\r\n`);
      socket.write(body);
      await new Promise((resolve) => socket.once("readable", resolve));
      socket.destroy();
    }
    await meter.idle();
    expect(await allEvents(leaves.watch({ leafId }))).toHaveLength(total);
  });
});

describe("a client that goes away", () => {
  test("frees its follower and does not stop the leaf", async () => {
    const { store } = await newStore();
    const meter = new FollowMeter(store);
    const { leaves } = await openDoor({ store: meter.store });
    const client = new AbortController();
    const seen: Array<string | undefined> = [];
    const refused = await refusal(
      (async () => {
        for await (const { leaf, event } of leaves.run({ spec: { prompt: "p" } }, { signal: client.signal })) {
          seen.push(leaf?.leafId ?? event?.event.case);
          if (event !== undefined) client.abort();
        }
      })(),
    );
    expect(refused.code).toBe(Code.Canceled);
    await meter.idle();
    const [leafId = ""] = seen;
    expect((await store.get(leafId))?.state).toBe(LeafState.QUEUED);
    await finishNext(store, "unheard");
    const rest = await allEvents(leaves.watch({ leafId, afterSeq: 1n }));
    expect(rest.at(-1)?.event).toMatchObject({ value: { state: LeafState.DONE, result: { text: "unheard" } } });
  });
});

describe("a dispatcher that goes down", () => {
  test("refuses new calls, ends streams with UNAVAILABLE, and another one goes on where they stopped", async () => {
    const { store, url } = await newStore();
    const { leaves, drain } = await openDoor({ store });
    const { leaf } = await store.submit(newLeaf());
    const seen: bigint[] = [];
    const refused = await refusal(
      (async () => {
        for await (const { event } of leaves.watch({ leafId: leaf.leafId })) {
          seen.push(event?.seq ?? 0n);
          drain.begin();
          expect(await refusal(leaves.list({}))).toMatchObject({ code: Code.Unavailable, reason: "shutting_down", retryAfterMs: 1000 });
          drain.end();
        }
      })(),
    );
    expect(refused).toMatchObject({ code: Code.Unavailable, reason: "shutting_down" });
    const second = await openLeafStore(url);
    onTestFinished(() => second.close());
    const next = await openDoor({ store: second });
    await finishNext(store, "done");
    const rest = await allEvents(next.leaves.watch({ leafId: leaf.leafId, afterSeq: seen.at(-1) ?? 0n }));
    expect(rest.map((event) => event.seq)).toEqual([2n, 3n]);
  });
});

test("parallel Submits under one idempotency key make one leaf, through two dispatchers", async () => {
  const { store, url } = await newStore();
  const second = await openLeafStore(url);
  onTestFinished(() => second.close());
  const doors = [await openDoor({ store }), await openDoor({ store: second })];
  const calls = Array.from({ length: 60 }, (_, i) => doors[i % 2]?.leaves.submit({ spec: { prompt: "p" }, idempotencyKey: "same" }));
  const answers = await Promise.all(calls);
  expect(answers.filter((answer) => answer?.created)).toHaveLength(1);
  expect(new Set(answers.map((answer) => answer?.leaf?.leafId)).size).toBe(1);
  expect((await store.list({ limit: 10 })).leaves).toHaveLength(1);
  expect((await store.backlog()).ready).toBe(1);
});
