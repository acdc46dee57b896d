import { fromConnectError, type HarnessError } from "@serverless-harness/kit/errors";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { expect, test } from "vitest";
import { runDispatcher } from "./process.ts";
import { newStore, workerNamed } from "./support.ts";

const CLIENTS = 16;
const ACKNOWLEDGED = 150;

async function everyLeaf(store: LeafStore): Promise<Leaf[]> {
  const all: Leaf[] = [];
  let pageToken: string | undefined;
  do {
    const page = await store.list({ limit: 100, ...(pageToken === undefined ? {} : { pageToken }) });
    all.push(...page.leaves);
    pageToken = page.nextPageToken;
  } while (pageToken !== undefined);
  return all;
}

test("a dispatcher killed in the middle of Submits keeps every acknowledged leaf, and each leaf is whole or not there", async () => {
  const opened = await newStore();
  const { store } = opened;
  const first = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
  const acknowledged = new Map<string, string>();
  const tried = new Set<string>();

  const client = async (name: number): Promise<HarnessError> => {
    for (let n = 0; ; n += 1) {
      const idempotencyKey = `client ${name} call ${n}`;
      tried.add(idempotencyKey);
      try {
        const { leaf } = await first.leaves.submit({ spec: { prompt: idempotencyKey, labels: { load: "yes" } }, idempotencyKey });
        acknowledged.set(idempotencyKey, leaf?.leafId ?? "");
      } catch (error) {
        return fromConnectError(error);
      }
      if (acknowledged.size >= ACKNOWLEDGED) first.child.kill("SIGKILL");
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, name) => client(name)));
  expect((await first.exited).signal).toBe("SIGKILL");

  const stored = await everyLeaf(store);
  const ids = new Set(stored.map((leaf) => leaf.leafId));
  for (const leafId of acknowledged.values()) expect(ids).toContain(leafId);
  expect(stored.length).toBeLessThanOrEqual(tried.size);
  for (const leaf of stored) {
    const events = await store.events(leaf.leafId, 0n, 10);
    expect(events.map(({ seq, event }) => [seq, event.value])).toMatchObject([[1n, { state: LeafState.QUEUED }]]);
    expect(leaf).toMatchObject({ state: LeafState.QUEUED, lastSeq: 1n, spec: { labels: { load: "yes" } } });
    expect(await store.sessionExists("default", leaf.spec?.sessionId ?? "")).toBe(true);
  }

  // The clients that got no answer ask again: nobody gets a second leaf.
  const second = await runDispatcher(opened, { DISPATCHER_WAKER: "none" });
  for (const idempotencyKey of tried) {
    const { leaf, created } = await second.leaves.submit({ spec: { prompt: idempotencyKey, labels: { load: "yes" } }, idempotencyKey });
    const known = acknowledged.get(idempotencyKey);
    if (known !== undefined) expect({ created, leafId: leaf?.leafId }).toEqual({ created: false, leafId: known });
  }
  expect(await everyLeaf(store)).toHaveLength(tried.size);

  const claims = new Set<string>();
  for (let claim = await store.claim(workerNamed("b"), 60_000); claim !== undefined; claim = await store.claim(workerNamed("b"), 60_000)) {
    claims.add(claim.leaf.leafId);
  }
  expect(claims.size).toBe(tried.size);
});
