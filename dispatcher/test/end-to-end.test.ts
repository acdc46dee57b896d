import { LeafState } from "@serverless-harness/proto/leaf";
import { expect, test, vi } from "vitest";
import { askHttp1 } from "./http-client.ts";
import { AUTHORIZED, allEvents } from "./support.ts";
import { system } from "./system.ts";

test("a turn on real parts runs its command in the sandbox, and the next turn, in a new brain, remembers it", async () => {
  const { origin, line, health } = await system();
  const turn = (body: object) => askHttp1(origin, "/turn", { method: "POST", headers: AUTHORIZED, body: JSON.stringify(body) });

  const first = await turn({ prompt: "Run: echo pine; echo apple" });
  expect(first).toMatchObject({ status: 200, body: { response: expect.stringMatching(/pine\napple/) } });
  await line('"msg":"brain exited with code 0"');
  const second = await turn({ prompt: "Remember the secret word: pineapple. Reply only with OK.", sessionId: first.body["sessionId"] });
  expect(second).toMatchObject({ status: 200, body: { sessionId: first.body["sessionId"], response: "OK" } });
  const third = await turn({ prompt: "What was the secret word?", sessionId: first.body["sessionId"] });
  expect(third).toMatchObject({ status: 200, body: { response: expect.stringMatching("pineapple") } });
  expect(await health()).toMatchObject({ brainsCrashed: 0 });
});

test("turns run on a brain that is called as a service, and that is called again when it has become idle", async () => {
  const { origin, health } = await system({ brains: "knative" });
  const turn = (body: object) => askHttp1(origin, "/turn", { method: "POST", headers: AUTHORIZED, body: JSON.stringify(body) });
  const answered = (answered: number) =>
    vi.waitFor(async () => expect(await health()).toMatchObject({ wakes: { inFlight: 0, answered, failed: 0 } }), { timeout: 20_000 });
  const first = await turn({ prompt: "Run: echo pine; echo apple" });
  expect(first).toMatchObject({ status: 200, body: { response: expect.stringMatching(/pine\napple/) } });
  await answered(1);
  const second = await turn({ prompt: "Run: echo cherry", sessionId: first.body["sessionId"] });
  expect(second).toMatchObject({ status: 200, body: { response: expect.stringMatching("cherry") } });
  await answered(2);
});

test("a task on real parts goes in with its schema and comes back with its value", async () => {
  const { origin, leaves } = await system();
  const call = async (method: string, body: object) => {
    const answer = await askHttp1(origin, `/harness.leaf.v1.LeafService/${method}`, {
      method: "POST",
      headers: { ...AUTHORIZED, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    return answer.body as { leaf: { leafId: string; spec: object; result?: object } };
  };
  const value = { count: 3, list: [1.5, null, { deep: true }] };
  const steps = [{ tools: [{ name: "submit_result", input: value }] }];
  const spec = {
    kind: "LEAF_KIND_TASK",
    prompt: `\`\`\`script\n${JSON.stringify({ steps })}\n\`\`\``,
    outputSchema: { type: "object", properties: { count: { type: "integer", minimum: 3 }, list: { type: "array" } }, required: ["count"] },
    input: { items: [1, null, "a"] },
  };
  const { leaf } = await call("Submit", { spec });
  const events = await allEvents(leaves.watch({ leafId: leaf.leafId }));
  expect(events.at(-1)?.event).toMatchObject({ case: "stateChanged", value: { state: LeafState.DONE } });
  const done = await call("Get", { leafId: leaf.leafId });
  expect(done.leaf).toMatchObject({ spec, result: { value } });
});
