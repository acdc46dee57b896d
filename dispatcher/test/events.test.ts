import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { create, toJson } from "@bufbuild/protobuf";
import { FailureReason, FailureSchema, type LeafEvent, LeafEventSchema, LeafState } from "@serverless-harness/proto/leaf";
import { openLeafStore } from "@serverless-harness/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Opener, openHttp1, openHttp2, type SentEvent, sentEvents, textOf } from "./http-stream.ts";
import { runDispatcher } from "./process.ts";
import { AUTHORIZED, claimed, FollowMeter, finishNext, newLeaf, newStore, openDoor, textDelta, untilState } from "./support.ts";

const VERSIONS: ReadonlyArray<readonly [string, Opener]> = [
  ["HTTP/1.1", openHttp1],
  ["HTTP/2", openHttp2],
];
const JSON_LINES = { ...AUTHORIZED, accept: "application/x-ndjson" };
const EVENT_SOURCE = fileURLToPath(new URL("fixtures/event-source.ts", import.meta.url));

const pathOf = (leafId: string): string => `/v1/leaves/${leafId}/events`;
const asJson = (events: readonly LeafEvent[]): unknown[] => events.map((event) => toJson(LeafEventSchema, event));

/** A leaf that is over, with all of its events. */
async function finishedLeaf(store: Awaited<ReturnType<typeof openDoor>>["store"], pieces: readonly string[]) {
  const { leaf } = await store.submit(newLeaf());
  await finishNext(store, "done", pieces);
  return { leafId: leaf.leafId, events: await store.events(leaf.leafId, 0n, 10_000) };
}

/** The events of a whole stream, without what else stands in it. */
async function allSent(...args: Parameters<Opener>): Promise<SentEvent[]> {
  const sent: SentEvent[] = [];
  for await (const frame of sentEvents(await openHttp1(...args))) if (typeof frame !== "string") sent.push(frame);
  return sent;
}

describe.each(VERSIONS)("over %s", (_version, open) => {
  test("a leaf's events come as server-sent events while they happen, and the last one says that the leaf is over", async () => {
    const { origin, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    const answer = await open(origin, pathOf(leaf.leafId), AUTHORIZED);
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    });
    const frames: Array<SentEvent | string> = [];
    for await (const frame of sentEvents(answer)) {
      frames.push(frame);
      if (typeof frame !== "string" && frame.id === "1") await finishNext(store, "late", ["la\nte", "r: \u2028"]);
    }
    const events = await store.events(leaf.leafId, 0n, 100);
    expect(frames[0]).toMatch(/^retry: \d{4}$/);
    expect(frames.slice(1)).toEqual([
      ...asJson(events).map((data, index) => ({ id: String(index + 1), event: events[index]?.event.case, data })),
      { id: "5", event: "end", data: { reason: "leaf_over", afterSeq: "5" } },
    ]);
  });

  test("the same come as JSON lines by Accept, and the head at once", async () => {
    const { origin, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    const answer = await open(origin, `${pathOf(leaf.leafId)}?after=1`, JSON_LINES);
    expect(answer).toMatchObject({ status: 200, headers: { "content-type": "application/x-ndjson" } });
    await finishNext(store, "late", ["la", "te"]);
    const lines = (await textOf(answer)).trimEnd().split("\n");
    const end = { end: { reason: "leaf_over", afterSeq: "5" } };
    expect(lines.map((line) => JSON.parse(line))).toEqual([...asJson(await store.events(leaf.leafId, 1n, 100)), end]);
  });

  test("a stream is never silent for long, and what keeps it alive is no event", async () => {
    const { origin, store } = await openDoor({ keepAliveMs: 20 });
    const { leaf } = await store.submit(newLeaf());
    const lines = open(origin, pathOf(leaf.leafId), JSON_LINES).then(textOf);
    const comments: string[] = [];
    const ids: string[] = [];
    for await (const frame of sentEvents(await open(origin, pathOf(leaf.leafId), AUTHORIZED))) {
      if (typeof frame !== "string") ids.push(frame.id);
      else if (frame === ": keep-alive" && comments.push(frame) === 3) await finishNext(store, "late");
    }
    expect(ids).toEqual(["1", "2", "3", "3"]);
    const text = await lines;
    expect(text).toMatch(/\n +\{/);
    expect(
      text
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toHaveLength(4);
  });

  test("a reader that does not read is held back, holds back nobody, and gets everything once it reads", async () => {
    const { store } = await newStore();
    const meter = new FollowMeter(store);
    const { origin } = await openDoor({ store: meter.store });
    const { leafId, events } = await finishedLeaf(store, Array<string>(1536).fill("x".repeat(16 * 1024)));
    const slow = await open(origin, pathOf(leafId), AUTHORIZED);
    const quick = await textOf(await open(origin, pathOf(leafId), JSON_LINES));
    expect(quick.split("\n")).toHaveLength(events.length + 2);
    expect(meter.pulled - events.length).toBeLessThan(events.length / 2);
    let seen = 0;
    for await (const frame of sentEvents(slow)) if (typeof frame !== "string") seen += 1;
    expect(seen).toBe(events.length + 1);
    // Each was looked at first, to know that there is something to send.
    expect(meter.pulled).toBe(2 * events.length + 2);
  });

  test("a reader that goes away leaves nothing behind, read or not", async () => {
    const { store } = await newStore();
    const meter = new FollowMeter(store);
    const { origin } = await openDoor({ store: meter.store });
    const { leafId } = await finishedLeaf(store, Array<string>(1536).fill("x".repeat(16 * 1024)));
    const living = (await store.submit(newLeaf())).leaf.leafId;
    for (const id of [leafId, living]) {
      const answer = await open(origin, pathOf(id), AUTHORIZED);
      expect(meter.open).toBe(1);
      answer.leave();
      await meter.idle();
    }
  });

  test("HEAD tells the kind of the answer, and follows nothing", async () => {
    const { store } = await newStore();
    const meter = new FollowMeter(store);
    const { origin } = await openDoor({ store: meter.store });
    const { leafId } = await finishedLeaf(store, ["a"]);
    for (const id of [leafId, (await store.submit(newLeaf())).leaf.leafId]) {
      const answer = await open(origin, pathOf(id), AUTHORIZED, "HEAD");
      expect(answer).toMatchObject({ status: 200, headers: { "content-type": "text/event-stream" } });
      expect(await textOf(answer)).toBe("");
      expect(meter.open).toBe(0);
    }
  });
});

test("resumed from every position, by the header or the address, gives exactly the events after it", async () => {
  const { origin, store } = await openDoor();
  const { leafId, events } = await finishedLeaf(store, ["a", "b", "c"]);
  for (let after = 0; after < events.length; after++) {
    const rest = [...events.slice(after).map(({ seq }) => String(seq)), String(events.length)];
    const byHeader = await allSent(origin, pathOf(leafId), { ...AUTHORIZED, "last-event-id": String(after) });
    const byAddress = await allSent(origin, `${pathOf(leafId)}?after=${after}`, AUTHORIZED);
    const byBoth = await allSent(origin, `${pathOf(leafId)}?after=3`, { ...AUTHORIZED, "last-event-id": String(after) });
    for (const sent of [byHeader, byAddress, byBoth]) expect(sent.map(({ id }) => id)).toEqual(rest);
  }
  const fromStart = await allSent(origin, pathOf(leafId), { ...AUTHORIZED, "last-event-id": "" });
  expect(fromStart).toHaveLength(events.length + 1);
});

test("a leaf that is over and was read to its end is answered with 204, so that an EventSource stays away", async () => {
  const { origin, store } = await openDoor({ token: null });
  const { leafId, events } = await finishedLeaf(store, ["a"]);
  const again = await openHttp1(origin, pathOf(leafId), { "last-event-id": String(events.length) });
  expect(again).toMatchObject({ status: 204 });
  expect(await textOf(again)).toBe("");

  const args = ["--experimental-eventsource", EVENT_SOURCE, `${origin}${pathOf(leafId)}`, "stateChanged", "textDelta", "end"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const told: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) told.push(line);
  expect(told).toEqual(["stateChanged 1", "stateChanged 2", "textDelta 3", "stateChanged 4", "end 4", "closed"]);
});

test("a failed leaf that is queued again goes on where a reader was", async () => {
  const { origin, store } = await openDoor();
  const { leaf } = await store.submit(newLeaf());
  const failure = create(FailureSchema, { reason: FailureReason.MODEL_REFUSED, message: "it would rather not" });
  await store.finish(await claimed(store), { state: LeafState.FAILED, failure }, []);
  await store.redrive(leaf.leafId, true);
  await finishNext(store, "done");
  const sent = await allSent(origin, `${pathOf(leaf.leafId)}?after=3`, AUTHORIZED);
  expect(sent.at(-1)).toEqual({ id: "6", event: "end", data: { reason: "leaf_over", afterSeq: "6" } });
});

describe("refused is", () => {
  const cases: ReadonlyArray<readonly [string, string, Record<string, string>, number, Record<string, unknown>]> = [
    ["a position that is no number", "?after=x", {}, 400, { error: "envelope_invalid", fields: [{ field: "after" }] }],
    ["a negative one", "?after=-1", {}, 400, { fields: [{ field: "after" }] }],
    ["one that no leaf can reach", "?after=9223372036854775808", {}, 400, { fields: [{ field: "after" }] }],
    ["two positions", "?after=1&after=2", {}, 400, { fields: [{ field: "after" }] }],
    ["a header that is no number", "", { "last-event-id": "1e3" }, 400, { fields: [{ field: "Last-Event-ID" }] }],
    ["a parameter that is misspelt", "?afer=1", {}, 400, { fields: [{ field: "afer" }] }],
    ["a kind of answer that there is not", "", { accept: "text/html, application/xml;q=0.9" }, 406, { error: "not_acceptable" }],
    ["both kinds, if neither is wanted", "", { accept: "*/*;q=0" }, 406, { error: "not_acceptable" }],
    ["a call without a token", "", { authorization: "" }, 401, { error: "unauthorized" }],
  ];
  test.each(cases)("%s", async (_what, query, headers, status, body) => {
    const { origin, store } = await openDoor();
    const { leaf } = await store.submit(newLeaf());
    const answer = await openHttp1(origin, `${pathOf(leaf.leafId)}${query}`, { ...AUTHORIZED, ...headers });
    expect(answer.status).toBe(status);
    expect(JSON.parse(await textOf(answer))).toMatchObject(
      "fields" in body ? { ...body, fields: [expect.objectContaining((body["fields"] as object[])[0])] } : body,
    );
  });

  test.each(["leaf_unknown", "%ff", "a%2Fb"])("the id %s of no leaf", async (id) => {
    const { origin } = await openDoor();
    const answer = await openHttp1(origin, pathOf(id), AUTHORIZED);
    expect([answer.status, JSON.parse(await textOf(answer))]).toMatchObject([404, { error: "leaf_not_found" }]);
  });

  test("another method, which is told those that there are", async () => {
    const { origin } = await openDoor();
    const answer = await openHttp1(origin, pathOf("x"), AUTHORIZED, "POST");
    expect(answer).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  });
});

test.each([
  ["application/x-ndjson, */*;q=0.1", "application/x-ndjson"],
  ["text/event-stream;q=0.5, application/x-ndjson;q=0.4", "text/event-stream"],
  ["text/*;q=0.3, application/*;q=0.8", "application/x-ndjson"],
  ["*/*", "text/event-stream"],
])("Accept %s gets %s", async (accept, type) => {
  const { origin, store } = await openDoor();
  const { leafId } = await finishedLeaf(store, []);
  const answer = await openHttp1(origin, pathOf(leafId), { ...AUTHORIZED, accept });
  expect(answer.headers["content-type"]).toBe(type);
});

test("a dispatcher that goes down ends a stream with the position, and another one goes on there", async () => {
  const { store, url } = await newStore();
  const { origin, drain } = await openDoor({ store });
  const { leaf } = await store.submit(newLeaf());
  const claim = await claimed(store);
  await store.append(claim, [textDelta("a")]);
  const seen: SentEvent[] = [];
  for await (const frame of sentEvents(await openHttp1(origin, pathOf(leaf.leafId), AUTHORIZED))) {
    if (typeof frame === "string") continue;
    seen.push(frame);
    if (frame.id === "3" && frame.event !== "end") drain.end();
  }
  const end = seen.at(-1);
  expect(end).toMatchObject({ id: "3", event: "end", data: { reason: "shutting_down", afterSeq: "3" } });
  const refused = await openHttp1(origin, pathOf(leaf.leafId), AUTHORIZED);
  expect(refused).toMatchObject({ status: 503, headers: { "retry-after": "1" } });

  const second = await openLeafStore(url);
  onTestFinished(() => second.close());
  const next = await openDoor({ store: second });
  await store.finish(claim, { state: LeafState.CANCELLED }, []);
  const rest = await allSent(next.origin, pathOf(leaf.leafId), { ...AUTHORIZED, "last-event-id": end?.id ?? "" });
  expect(rest.map(({ id, event }) => `${event} ${id}`)).toEqual(["stateChanged 4", "end 4"]);
});

test("SIGTERM tells every reader where to go on, after the last event", async () => {
  const opened = await newStore();
  const { leaves, child, exited, origin } = await runDispatcher(opened);
  const { leaf } = await leaves.submit({ spec: { prompt: "hold" } });
  const leafId = leaf?.leafId ?? "";
  const reading = VERSIONS.map(async ([, open]) => {
    const frames: Array<SentEvent | string> = [];
    for await (const frame of sentEvents(await open(origin, pathOf(leafId), AUTHORIZED))) frames.push(frame);
    return frames;
  });
  await untilState(opened.store, leafId, LeafState.RUNNING);
  child.kill("SIGTERM");
  for (const frames of await Promise.all(reading)) {
    const last = frames.at(-2) as SentEvent;
    expect(last.event).toBe("stateChanged");
    expect(frames.at(-1)).toMatchObject({ id: last.id, event: "end", data: { reason: "shutting_down", afterSeq: last.id } });
  }
  expect(await exited).toMatchObject({ code: 0, stderr: "" });
});
