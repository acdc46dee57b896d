import { setImmediate } from "node:timers/promises";
import type { Leaf } from "@serverless-harness/proto/leaf";
import { describe, expect, test } from "vitest";
import { leavesOf, newSession, openRuns, review, seedHouse, verdict } from "./runs.ts";

const house = seedHouse();
const open = (seedApi = {}) => openRuns(house.stack.store, seedApi);

const FLAGGED = { status: "done", verdict: { item_id: "i1", verdict: "FLAGGED", reason: "it is so" } };

describe("a run that is waited for", () => {
  test("brings the verdict that its agent handed in", async () => {
    const { run } = await open();
    expect(await run(review(newSession(), [verdict()]))).toMatchObject({ status: 200, body: FLAGGED });
  });

  test("shows its agent the item: its id, its file below the directory that was named, and its pattern", async () => {
    const { run, store } = await open();
    const sessionId = "shown";
    await run(review(sessionId, [verdict()], { workspaceRef: "/workspace/checkout//" }, { item_id: "item-7", file: "src/risky.py" }));
    const leaves = await leavesOf(store, sessionId);
    expect(leaves[0]?.spec?.prompt).toMatch(/Item: item-7\nFile: \/workspace\/checkout\/src\/risky\.py\nPattern: Script/);
  });

  test("takes any id for the item's that the agent hands in", async () => {
    const { run } = await open();
    const { body } = await run(review(newSession(), [verdict("CLEAR", "another")]));
    expect(body["verdict"]).toMatchObject({ item_id: "another", verdict: "CLEAR" });
  });

  test("fails without a verdict if the agent hands none in", async () => {
    const { run } = await open();
    const { status, body } = await run(review(newSession(), [{ text: "all is well" }, { text: "really" }]));
    expect({ status, body }).toMatchObject({ status: 200, body: { status: "failed", reason: "no_verdict" } });
  });

  test("fails with what is wrong if the agent hands in what is no verdict", async () => {
    const { run } = await open();
    const steps = [verdict("MAYBE"), { text: "so be it" }, { text: "really" }];
    const { body } = await run(review(newSession(), steps));
    expect(body).toMatchObject({ status: "failed", reason: "invalid_verdict", message: expect.stringMatching("schema") });
  });

  test.each([
    ["model", { model: "no-such-model" }],
    ["provider", { provider: "nobody", model: "some-model" }],
  ])("fails with a message on an unknown %s", async (_what, more) => {
    const { run } = await open();
    const { status, body } = await run(review(newSession(), [verdict()], more));
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { status: "failed", reason: "error", message: expect.stringMatching(/\w/) },
    });
  });

  test("runs again after it failed, with what the new envelope says", async () => {
    const { run } = await open();
    const sessionId = newSession();
    expect((await run(review(sessionId, [verdict()], { model: "no-such-model" }))).body).toMatchObject({ status: "failed" });
    expect((await run(review(sessionId, [verdict()]))).body).toEqual(FLAGGED);
  });

  test("that has its verdict answers with it at once, even for another item, model or decision, and asks no model again", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    await run(review(sessionId, [verdict()]));
    const changed = [
      review(sessionId, [verdict("CLEAR")], {}, { item_id: "other", file: "safe.py" }),
      review(sessionId, [verdict("CLEAR")], { model: "no-such-model" }),
      review(sessionId, [verdict("CLEAR")], { decision: { gateId: 0, action: "abort" } }),
    ];
    for (const envelope of changed) expect(await run(envelope)).toMatchObject({ status: 200, body: FLAGGED });
    expect((await leavesOf(store, sessionId)).length).toBe(1);
  });

  test("is one however many ask for it at once, whatever their items say", async () => {
    const { run, store } = await open();
    const sessionId = newSession();
    const words = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? "FLAGGED" : "CLEAR"));
    const answers = await Promise.all(words.map((word) => run(review(sessionId, [{ delay_ms: 100, ...verdict(word) }]))));
    expect(new Set(answers.map(({ status, body }) => JSON.stringify([status, body]))).size).toBe(1);
    expect((await leavesOf(store, sessionId)).length).toBe(1);
  });

  test("goes on if its client goes away, and the next request finds what it brought", async () => {
    const { run, origin, outcome } = await open();
    const sessionId = newSession();
    const client = new AbortController();
    const envelope = review(sessionId, [{ delay_ms: 300, ...verdict() }]);
    const body = JSON.stringify(envelope);
    const asked = fetch(`${origin}/runs`, {
      method: "POST",
      body,
      headers: { authorization: "Bearer a-token-for-tests" },
      signal: client.signal,
    });
    while ((await leavesOf(house.stack.store, sessionId)).length === 0) await setImmediate();
    client.abort();
    await expect(asked).rejects.toThrow();
    expect((await outcome({ sessionId })).body).toEqual(FLAGGED);
    expect((await run(envelope)).body).toEqual(FLAGGED);
  });

  test("is told by its status too", async () => {
    const { run, status } = await open();
    const sessionId = newSession();
    await run(review(sessionId, [verdict()]));
    expect(await status({ sessionId })).toMatchObject({ status: 200, body: FLAGGED });
  });

  test("ends at its turns: a budget in our way, refused tool calls in the seed's", async () => {
    const steps = [
      ...Array.from({ length: 3 }, () => ({ tools: [{ name: "ls", input: {} }] })),
      verdict(),
      { text: "I can't" },
      { text: "no" },
    ];
    const ours = await open();
    expect((await ours.run(review(newSession(), steps, { maxTurns: 2 }))).body).toMatchObject({ status: "failed", reason: "no_verdict" });
    const seed = await open({ compat: true });
    const { body } = await seed.run(review(newSession(), steps, { maxTurns: 2 }));
    expect(body).toMatchObject({ status: "failed", reason: "no_verdict" });
    const { leaves } = await seed.store.list({ limit: 1 });
    const ends = await house.stack.eventsOf(leaves[0] as Leaf, "toolEnded");
    expect(ends.map(({ tool, isError }) => [tool, isError])).toEqual([
      ["ls", false],
      ["ls", false],
      ["ls", true],
      ["submit_verdict", true],
    ]);
  });

  test.each([0, -1, "many", null])("takes maxTurns %j for the default of 40 under LEAF_COMPAT=seed", async (maxTurns) => {
    const { run, store } = await open({ compat: true });
    await run(review(newSession(), [verdict()], { maxTurns }));
    expect((await store.list({ limit: 1 })).leaves[0]?.spec?.limits?.maxToolTurns).toBe(40);
  });
});

describe("ids of sessions", () => {
  test("may have slashes, and `run/i1` is another session than `run-i1`", async () => {
    const { run, status } = await open();
    const slash = `${newSession()}/run/i1`;
    const twin = slash.replaceAll("/", "-");
    expect((await run(review(slash, [verdict("FLAGGED")]))).body).toMatchObject({ verdict: { verdict: "FLAGGED" } });
    expect((await status({ sessionId: twin })).body).toEqual({ status: "queued" });
    expect((await run(review(twin, [verdict("CLEAR")]))).body).toMatchObject({ verdict: { verdict: "CLEAR" } });
    expect((await run(review(slash, [verdict("CLEAR")]))).body).toMatchObject({ verdict: { verdict: "FLAGGED" } });
  });

  test("begin with the tenant that is named, for status as well", async () => {
    const { run, status } = await open();
    const sessionId = newSession();
    await run(review(sessionId, [verdict()], { tenant: "acme" }));
    expect((await status({ sessionId })).body).toEqual({ status: "queued" });
    expect((await status({ sessionId, tenant: "acme" })).body).toEqual(FLAGGED);
    expect((await status({ sessionId: `acme/${sessionId}` })).body).toEqual(FLAGGED);
  });

  test("may be empty for the seed's clients alone", async () => {
    const ours = await open();
    expect(await ours.run(review("", [verdict()]))).toMatchObject({ status: 400, body: { error: "envelope_invalid" } });
    const seed = await open({ compat: true });
    expect((await seed.run(review("", [verdict()]))).body).toEqual(FLAGGED);
    expect((await seed.run(review("///", [verdict("CLEAR")]))).body).toMatchObject({ verdict: { verdict: "CLEAR" } });
  });
});
