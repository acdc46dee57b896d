import { LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { askHttp1 } from "./http-client.ts";
import { claimed, newLeaf, openDoor } from "./support.ts";

const KEY = "a-key-that-nobody-can-guess";

async function sleepingLeaf() {
  const door = await openDoor();
  const { leaf } = await door.store.submit(newLeaf());
  await door.store.suspend(await claimed(door.store), { wakeKey: KEY }, "waits for a command", []);
  const wake = (body: string) => askHttp1(door.origin, "/wake", { method: "POST", body });
  return { ...door, leafId: leaf.leafId, wake };
}

test("a leaf that sleeps is woken by its key alone, without a token, and once", async () => {
  const { store, leafId, wake } = await sleepingLeaf();
  const body = JSON.stringify({ leafId, wakeKey: KEY });
  expect(await wake(body)).toMatchObject({ status: 202, body: {} });
  expect((await claimed(store)).leaf.leafId).toBe(leafId);
  expect(await wake(body)).toMatchObject({ status: 202, body: {} });
  expect((await store.backlog()).ready).toBe(0);
});

test.each([
  ["another key", (leafId: string) => ({ leafId, wakeKey: "another-key-altogether" })],
  ["an empty key", (leafId: string) => ({ leafId, wakeKey: "" })],
  ["an unknown leaf", () => ({ leafId: "leaf_nobody", wakeKey: KEY })],
])("%s wakes nobody, and tells nothing of the leaf", async (_, body) => {
  const { store, leafId, wake } = await sleepingLeaf();
  expect(await wake(JSON.stringify(body(leafId)))).toMatchObject({ status: 202, body: {} });
  expect((await store.get(leafId))?.state).toBe(LeafState.SUSPENDED);
  expect((await store.backlog()).ready).toBe(0);
});

test.each([
  ["no JSON", "leaf", "invalid_json", 400],
  ["no key", "{}", "envelope_invalid", 400],
  ["a key that is no text", '{"leafId":"l","wakeKey":7}', "envelope_invalid", 400],
  ["a body over 4 KiB", JSON.stringify({ leafId: "l", wakeKey: "k".repeat(5000) }), "body_too_large", 413],
])("%s is refused", async (_, body, error, status) => {
  const { wake } = await sleepingLeaf();
  expect(await wake(body)).toMatchObject({ status, body: { error } });
});
