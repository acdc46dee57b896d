import { toJson } from "@bufbuild/protobuf";
import { LeafEventSchema } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { askHttp1, askHttp2 } from "./http-client.ts";
import { AUTHORIZED, finishNext, openDoor } from "./support.ts";

const PROMPT = '{"prompt":"p"}';
const KEY = { "idempotency-key": "k" };

async function open(keepAliveMs?: number) {
  const door = await openDoor(keepAliveMs === undefined ? {} : { keepAliveMs });
  const post = (headers: Record<string, string>, body = PROMPT) =>
    fetch(`${door.origin}/turn`, { method: "POST", headers: { ...AUTHORIZED, ...headers }, body });
  return { ...door, post };
}

test.each([
  ["respond-async", "respond-async"],
  ["wait=0", "wait=0"],
  ["handling=lenient, WAIT = 1", "wait=1"],
])(
  "a turn that is not over when Prefer: %s ends the waiting is accepted, goes on, and is answered by the same request again",
  async (prefer, applied) => {
    const { post, store } = await open();
    const accepted = await post({ ...KEY, prefer });
    const made = (await accepted.json()) as Record<string, string>;
    expect(accepted.status).toBe(202);
    expect(made).toEqual({ status: "accepted", sessionId: expect.stringMatching(/\w/), leafId: expect.stringMatching(/\w/) });
    expect(accepted.headers.get("preference-applied")).toBe(applied);
    expect(accepted.headers.get("location")).toBe(`/v1/leaves/${made["leafId"]}/events`);
    await finishNext(store, "late");
    const again = await post({ ...KEY, prefer });
    expect({ status: again.status, body: await again.json() }).toMatchObject({
      status: 200,
      body: { response: "late", leafId: made["leafId"] },
    });
  },
);

test("a turn that is over in time is answered as without a wait", async () => {
  const { post, store } = await open();
  const answer = post({ prefer: "wait=3600" });
  while ((await store.backlog()).ready === 0) await store.waitForWork(60_000, new AbortController().signal);
  await finishNext(store, "soon");
  expect(await (await answer).json()).toMatchObject({ response: "soon" });
});

test.each(["wait=soon", "wait=-1", "wait=86401", "wait=", "wait=1, wait=2"])(
  "Prefer: %s is refused, and no turn begins",
  async (prefer) => {
    const { post, store } = await open();
    const answer = await post({ prefer });
    expect({ status: answer.status, body: await answer.json() }).toMatchObject({
      status: 400,
      body: { fields: [{ field: "Prefer", description: expect.stringContaining("wait=30") }] },
    });
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  },
);

test("a turn asked for as a stream has its head at once, is kept alive, and tells what was made, each event and its end", async () => {
  const { post, store } = await open(20);
  const answer = await post({ accept: "text/event-stream" });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/event-stream");
  const { leaves } = await store.list({ limit: 1 });
  const [leaf] = leaves;
  let text = "";
  let isFinished = false;
  for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    // It was silent for a time, and its leaf has not begun.
    if (isFinished || !text.includes(": keep-alive")) continue;
    isFinished = true;
    await finishNext(store, "streamed");
  }
  const frames = text.split("\n\n").filter((frame) => frame !== "" && !frame.startsWith(":"));
  const made = { sessionId: leaf?.spec?.sessionId, leafId: leaf?.leafId };
  expect(frames[0]).toMatch(/^retry: /);
  expect(frames[1]).toBe(`id: 0\nevent: made\ndata: ${JSON.stringify(made)}`);
  expect(frames.slice(2, -1)).toHaveLength((await store.events(leaf?.leafId ?? "", 0n, 100)).length);
  expect(frames.at(-1)).toContain('"reason":"leaf_over"');
});

test("the same comes as JSON lines", async () => {
  const { post, store } = await open();
  const answer = await post({ accept: "application/x-ndjson" });
  expect(answer.headers.get("content-type")).toBe("application/x-ndjson");
  const { leaves } = await store.list({ limit: 1 });
  const [leaf] = leaves;
  await finishNext(store, "streamed");
  const lines = (await answer.text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const events = await store.events(leaf?.leafId ?? "", 0n, 100);
  expect(lines).toEqual([
    { made: { sessionId: leaf?.spec?.sessionId, leafId: leaf?.leafId } },
    ...events.map((event) => toJson(LeafEventSchema, event)),
    { end: { reason: "leaf_over", afterSeq: String(events.at(-1)?.seq) } },
  ]);
});

test.each([askHttp1, askHttp2])("who takes JSON as gladly has one answer at the end, over each version", async (ask) => {
  const { origin, store } = await open();
  for (const accept of ["*/*", "application/json, text/event-stream", "text/event-stream;q=0.5, application/json"]) {
    const answer = ask(origin, "/turn", { method: "POST", headers: { ...AUTHORIZED, accept }, body: PROMPT });
    while ((await store.backlog()).ready === 0) await store.waitForWork(60_000, new AbortController().signal);
    await finishNext(store, accept);
    expect((await answer).body).toMatchObject({ response: accept });
  }
});
