import { expect, test } from "vitest";
import { askHttp1 } from "../http-client.ts";
import { AUTHORIZED } from "../support.ts";
import { leavesOf, newSession, openRuns, review, seedHouse, verdict } from "./runs.ts";

const house = seedHouse();
const open = (seedApi = {}) => openRuns(house.stack.store, seedApi);

const DONE = { status: "done", verdict: { item_id: "i1", verdict: "FLAGGED", reason: "it is so" } };

test("a run that is not waited for is accepted with its id as it was sent, and nothing of a file", async () => {
  const { run, outcome } = await open();
  const sessionId = newSession();
  const { status, body } = await run(review(sessionId, [verdict()], { async: true }));
  expect({ status, body }).toEqual({ status: 202, body: { status: "accepted", sessionId } });
  expect(await outcome({ sessionId })).toMatchObject({ status: 200, body: DONE });
});

test("sent again it is accepted again, and stays one", async () => {
  const { run, outcome, store } = await open();
  const sessionId = newSession();
  const envelope = review(sessionId, [verdict()], { async: true });
  for (let i = 0; i < 3; i++) expect((await run(envelope)).status).toBe(202);
  await outcome({ sessionId });
  expect((await run(envelope)).status).toBe(202);
  expect((await outcome({ sessionId })).body).toEqual(DONE);
  expect((await leavesOf(store, sessionId)).length).toBe(1);
});

test.each(["true", 1, {}])("async: %j waits, as only true does not", async (async) => {
  const { run } = await open();
  expect(await run(review(newSession(), [verdict()], { async }))).toMatchObject({ status: 200, body: DONE });
});

test("the status of what nobody ever heard of, and of what runs, is queued", async () => {
  const { run, status } = await open();
  expect(await status({ sessionId: "never/heard of" })).toMatchObject({ status: 200, body: { status: "queued" } });
  const sessionId = newSession();
  await run(review(sessionId, [{ delay_ms: 1000, ...verdict() }], { async: true }));
  expect((await status({ sessionId })).body).toEqual({ status: "queued" });
});

test("the status of a run that failed has its reason and no message", async () => {
  const { run, outcome } = await open();
  const sessionId = newSession();
  await run(review(sessionId, [verdict()], { async: true, model: "no-such-model" }));
  expect((await outcome({ sessionId })).body).toEqual({ status: "failed", reason: "error" });
});

test.each([{}, { sessionId: "" }, { tenant: "acme" }])("a status without an id (%j) is refused", async (query) => {
  const { status } = await open();
  expect(await status(query)).toMatchObject({ status: 400, body: { error: "sessionId_required" } });
});

test("the old names do the same", async () => {
  const { origin } = await open();
  const sessionId = newSession();
  const body = JSON.stringify(review(sessionId, [verdict()]));
  const answer = await askHttp1(origin, "/run-leaf", { method: "POST", headers: AUTHORIZED, body });
  expect(answer).toMatchObject({ status: 200, body: DONE });
  const told = await askHttp1(origin, `/run-leaf/status?sessionId=${encodeURIComponent(sessionId)}`, { headers: AUTHORIZED });
  expect(told).toMatchObject({ status: 200, body: DONE });
});

test.each([
  ["GET", "/runs"],
  ["PUT", "/run-leaf"],
  ["POST", "/runs/status"],
])("%s %s is not served", async (method, path) => {
  const { origin } = await open();
  expect(await askHttp1(origin, path, { method, headers: AUTHORIZED })).toMatchObject({ status: 405 });
});

test("without a token nothing is served", async () => {
  const { run, origin } = await open();
  expect(await run(review(newSession(), [verdict()]), {})).toMatchObject({ status: 401, body: { error: "unauthorized" } });
  expect(await askHttp1(origin, "/runs/status?sessionId=x")).toMatchObject({ status: 401 });
});
