import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { FailureReason, FailureSchema, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore, Outcome } from "@serverless-harness/session";
import { describe, expect, test } from "vitest";
import { type Answer, type Ask, askHttp1, askHttp2 } from "./http-client.ts";
import { AUTHORIZED, claimed, FollowMeter, finishNext, newLeaf, newStore, openDoor } from "./support.ts";

describe.each([
  ["HTTP/1.1", askHttp1],
  ["HTTP/2", askHttp2],
])("POST /turn over %s", (_version, asker) => {
  async function open(store?: LeafStore) {
    const door = await openDoor(store === undefined ? {} : { store });
    const post = (body: Ask["body"], headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Answer> =>
      asker(door.origin, "/turn", {
        method: "POST",
        headers: { ...AUTHORIZED, ...headers },
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
    return { ...door, post };
  }

  test("waits for the answer and names the session", async () => {
    const { post, store } = await open();
    const answer = post('{"prompt":"Remember the word."}', { "content-type": "application/json" });
    const leafId = await submitted(store);
    await finishNext(store, "OK");
    const { status, body, headers } = await answer;
    const session = (await store.get(leafId))?.spec?.sessionId;
    expect({ status, body }).toEqual({ status: 200, body: { sessionId: session, response: "OK", stopReason: "stop", leafId } });
    expect(headers["content-type"]).toMatch("application/json");
  });

  test("goes on with a session that is known", async () => {
    const { post, store } = await open();
    await store.submit(newLeaf({ sessionId: "known" }));
    await finishNext(store, "first");
    const answer = post('{"prompt":"again","sessionId":"known"}');
    await submitted(store);
    await finishNext(store, "second");
    expect((await answer).body).toMatchObject({ sessionId: "known", response: "second" });
  });

  test.each([
    ["an unknown session", '{"prompt":"p","sessionId":"nobody"}', 404, "session_not_found"],
    ["no prompt", "{}", 400, "prompt_required"],
    ["a blank prompt", '{"prompt":" \\n"}', 400, "prompt_required"],
    ["a prompt that is no text", '{"prompt":{"text":"p"}}', 400, "prompt_required"],
    ["no body", undefined, 400, "invalid_json"],
    ["an empty body", "", 400, "invalid_json"],
    ["broken JSON", '{"prompt":"p"', 400, "invalid_json"],
    ["JSON that is no object", '["p"]', 400, "invalid_json"],
    ["JSON null", "null", 400, "invalid_json"],
    ["bytes that are not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 400, "invalid_json"],
    ["a session id that is no text", '{"prompt":"p","sessionId":7}', 400, "envelope_invalid"],
    ["a session id that climbs", '{"prompt":"p","sessionId":"../up"}', 400, "envelope_invalid"],
    ["a prompt over 1 MiB", JSON.stringify({ prompt: "x".repeat(1024 * 1024 + 1) }), 400, "envelope_invalid"],
    ["half a character", '{"prompt":"\\ud800"}', 400, "envelope_invalid"],
    ["a body over 4 MiB", JSON.stringify({ prompt: "x".repeat(4 * 1024 * 1024) }), 413, "body_too_large"],
    ["a body far over 4 MiB", new Uint8Array(20 * 1024 * 1024), 413, "body_too_large"],
  ])("refuses %s", async (_what, body, status, error) => {
    const { post, store } = await open();
    const answer = await post(body);
    expect(answer).toMatchObject({ status, body: { error, message: expect.stringMatching(/\w/) } });
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  });

  test("tells every wrong field by this API's names", async () => {
    const { post } = await open();
    const { body } = await post('{"prompt":"\\udfff","sessionId":"a b"}', { "idempotency-key": "k".repeat(257) });
    expect(body["fields"]).toMatchObject([{ field: "Idempotency-Key" }, { field: "sessionId" }, { field: "prompt" }]);
  });

  test("takes any content type for JSON", async () => {
    const { post, store } = await open();
    const answer = post('{"prompt":"p"}', { "content-type": "application/x-www-form-urlencoded" });
    await submitted(store);
    await finishNext(store, "fine");
    expect((await answer).status).toBe(200);
  });

  test("refuses a missing and a wrong token, whatever the body", async () => {
    const { post, origin } = await open();
    const expected = { status: 401, headers: { "www-authenticate": "Bearer" }, body: { error: "unauthorized" } };
    expect(await post("{}", { authorization: "Bearer wrong" })).toMatchObject(expected);
    expect(await asker(origin, "/turn", { method: "POST", body: '{"prompt":"p"}' })).toMatchObject(expected);
  });

  test("makes one turn of a repeated Idempotency-Key, and refuses another prompt under it", async () => {
    const { post, store } = await open();
    const both = [post('{"prompt":"p"}', { "idempotency-key": "k" }), post('{"prompt":"p"}', { "idempotency-key": "k" })];
    await submitted(store);
    await finishNext(store, "once");
    const [first, second] = await Promise.all(both);
    expect(first?.body).toEqual(second?.body);
    const other = await post('{"prompt":"other"}', { "idempotency-key": "k" });
    expect(other).toMatchObject({ status: 409, body: { error: "idempotency_key_reused" } });
  });

  const failed = (failure: MessageInitShape<typeof FailureSchema>): Outcome => ({
    state: LeafState.FAILED,
    failure: create(FailureSchema, { message: "why, and what to do", ...failure }),
  });

  test.each<readonly [string, Outcome, number, string, string | undefined]>([
    [
      "503 and when to try again",
      failed({ reason: FailureReason.MODEL_UNAVAILABLE, retryable: true, retryAfterMs: 2300n }),
      503,
      "model_unavailable",
      "3",
    ],
    [
      "503 without a hint of its own",
      failed({ reason: FailureReason.SANDBOX_UNAVAILABLE, retryable: true }),
      503,
      "sandbox_unavailable",
      "5",
    ],
    ["502 where waiting does not help", failed({ reason: FailureReason.MODEL_UNAVAILABLE }), 502, "model_unavailable", undefined],
    ["502 for a refusal of the model", failed({ reason: FailureReason.MODEL_REFUSED }), 502, "model_refused", undefined],
    ["502 for a budget", failed({ reason: FailureReason.BUDGET_EXCEEDED }), 502, "budget_exceeded", undefined],
    ["500 for a defect", failed({ reason: FailureReason.INTERNAL }), 500, "internal", undefined],
    ["409 for a cancelled turn", { state: LeafState.CANCELLED }, 409, "cancelled", undefined],
  ])("answers a failed turn with %s", async (_what, outcome, status, error, retryAfter) => {
    const { post, store } = await open();
    const answer = post('{"prompt":"p"}');
    const leafId = await submitted(store);
    await store.finish(await claimed(store), outcome, []);
    const { headers, ...rest } = await answer;
    expect(rest).toMatchObject({
      status,
      body: { error, leafId, sessionId: expect.stringMatching(/\w/), message: expect.stringMatching(/\w/) },
    });
    expect(headers["retry-after"]).toBe(retryAfter);
  });

  test("goes on when its client goes away, and nothing waits for it any more", async () => {
    const meter = new FollowMeter((await newStore()).store);
    const { post, store } = await open(meter.store);
    const client = new AbortController();
    const answer = post('{"prompt":"p"}', {}, client.signal).catch((error: unknown) => error);
    const leafId = await submitted(store);
    client.abort();
    expect(await answer).toBeInstanceOf(Error);
    await meter.idle();
    expect((await store.get(leafId))?.state).toBe(LeafState.QUEUED);
    await finishNext(store, "unheard");
    expect((await store.get(leafId))?.result?.text).toBe("unheard");
  });

  test("is not begun by a body that breaks off", async () => {
    const { post, store, origin } = await open();
    const broken = new ReadableStream<Uint8Array>({
      pull: (body) => {
        body.enqueue(Buffer.from('{"prompt":"p"'));
        body.error(new Error("the client broke"));
      },
    });
    const sent = fetch(`${origin}/turn`, { method: "POST", headers: AUTHORIZED, body: broken, duplex: "half" });
    await expect(sent).rejects.toThrow();
    expect(await post("{}")).toMatchObject({ status: 400 });
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  });

  test("is answered 503 with the leaf's id when the dispatcher goes down, and refused from then on", async () => {
    const { post, store, drain } = await open();
    const answer = post('{"prompt":"p"}');
    const leafId = await submitted(store);
    drain.begin();
    expect(await post('{"prompt":"p"}')).toMatchObject({ status: 503, body: { error: "shutting_down" } });
    drain.end();
    const expected = { status: 503, headers: { "retry-after": "1" }, body: { error: "shutting_down", leafId } };
    expect(await answer).toMatchObject(expected);
  });

  test.each(["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])("is not served with %s", async (method) => {
    const { origin } = await open();
    const answer = await asker(origin, "/turn", { method, headers: AUTHORIZED });
    expect(answer).toMatchObject({ status: 405, headers: { allow: "POST" }, body: { error: "method_not_allowed" } });
  });

  test.each(["/", "/turns", "/turn/", "//turn", "/constructor", "/harness.leaf.v1.LeafService/"])("is not served at %s", async (path) => {
    const { origin } = await open();
    const answer = await asker(origin, path, { method: "POST", headers: AUTHORIZED, body: "{}" });
    expect(answer).toMatchObject({ status: 404, body: { error: "not_found", message: expect.stringMatching("/turn") } });
  });

  test("ignores a query", async () => {
    const { origin } = await open();
    expect((await asker(origin, "/turn?x=1", { method: "POST", headers: AUTHORIZED, body: "{}" })).body["error"]).toBe("prompt_required");
  });
});

/** Wait until a leaf is queued, and return its id. */
async function submitted(store: LeafStore): Promise<string> {
  while ((await store.backlog()).ready === 0) await store.waitForWork(60_000, new AbortController().signal);
  const { leaves } = await store.list({ limit: 1, states: [LeafState.QUEUED] });
  return leaves[0]?.leafId ?? "";
}
