import { create } from "@bufbuild/protobuf";
import { scripted } from "@serverless-harness/pi-fork/testing";
import { FailureReason, FailureSchema, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { machines, resident } from "../../../brain/test/fixtures/stack.ts";
import { askHttp1 } from "../http-client.ts";
import { claimed, newStore, openDoor } from "../support.ts";

const house = resident(machines());

/** A door that serves the seed's clients, which have no token. */
async function open(store = house.stack.store) {
  const { origin } = await openDoor({ store, seedApi: { compat: true } });
  return (body: object | string) =>
    askHttp1(origin, "/turn", { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body) });
}

describe("a turn under LEAF_COMPAT=seed", () => {
  test("brings its answer, why it stopped, and a session that is named the same from then on", async () => {
    const turn = await open();
    const first = await turn({ prompt: "Remember the secret word: 7777. Reply only with OK." });
    expect(first).toMatchObject({ status: 200, body: { response: "OK", stopReason: "stop", sessionId: expect.stringMatching(/\w/) } });
    const { sessionId } = first.body;
    const second = await turn({ prompt: "What was the secret word?", sessionId });
    expect(second).toMatchObject({ status: 200, body: { sessionId, stopReason: "stop", response: expect.stringContaining("7777") } });
  });

  test.each([{}, { sessionId: null }, { sessionId: "" }])("makes a session where none is named (%j)", async (more) => {
    const turn = await open();
    const { status, body } = await turn({ prompt: scripted({ text: "hello" }), ...more });
    expect({ status, body }).toMatchObject({ status: 200, body: { response: "hello", sessionId: expect.stringMatching(/\w/) } });
  });

  test("whose model fails is answered with 200, and says so", async () => {
    const turn = await open();
    const { status, body } = await turn({ prompt: scripted({ fail: { status: 400, message: "no such luck" } }) });
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { response: "", stopReason: "error", errorMessage: expect.stringContaining("no such luck"), sessionId: expect.any(String) },
    });
  });

  test("that somebody cancels is answered as aborted", async () => {
    const { store } = await newStore();
    const turn = await open(store);
    const answer = turn({ prompt: "p" });
    while ((await store.backlog()).ready === 0) await store.waitForWork(60_000, new AbortController().signal);
    await store.finish(await claimed(store), { state: LeafState.CANCELLED }, []);
    expect(await answer).toMatchObject({ status: 200, body: { response: "", stopReason: "aborted", errorMessage: "Request was aborted" } });
  });

  test("that fails for another reason than its model is 500, with its session", async () => {
    const { store } = await newStore();
    const turn = await open(store);
    const answer = turn({ prompt: "p" });
    while ((await store.backlog()).ready === 0) await store.waitForWork(60_000, new AbortController().signal);
    const failure = create(FailureSchema, { reason: FailureReason.SANDBOX_LOST, message: "the sandbox is gone" });
    await store.finish(await claimed(store), { state: LeafState.FAILED, failure }, []);
    expect(await answer).toMatchObject({ status: 500, body: { error: "the sandbox is gone", sessionId: expect.stringMatching(/\w/) } });
  });

  test.each(["does-not-exist-xyz", "a/b", "../up", "ä", " "])(
    "on the session %j, which nobody knows, is 404 with its id",
    async (sessionId) => {
      const turn = await open();
      expect(await turn({ prompt: "p", sessionId })).toMatchObject({ status: 404, body: { error: "session_not_found", sessionId } });
    },
  );

  test.each([
    ["no JSON", "{", "invalid_json"],
    ["nothing", "", "invalid_json"],
    ["null", "null", "invalid_json"],
    ["a list", "[]", "prompt_required"],
    ["a number", "5", "prompt_required"],
    ["a text", '"p"', "prompt_required"],
    ["no prompt", "{}", "prompt_required"],
    ["an empty prompt", '{"prompt":""}', "prompt_required"],
    ["a prompt that is a number", '{"prompt":5}', "prompt_required"],
    ["a session that is a number", '{"prompt":"p","sessionId":5}', "envelope_invalid"],
  ])("of %s is refused", async (_what, body, error) => {
    const turn = await open();
    expect(await turn(body)).toMatchObject({ status: 400, body: { error } });
  });
});
