import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { create, toBinary } from "@bufbuild/protobuf";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { FailureReason, LeafEventSchema, LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { fingerprint } from "../contract/fingerprint.ts";
import { LAYOUT_1 } from "../sqlite/layout/layout-1.ts";
import { LAYOUT } from "../sqlite/schema.ts";
import { openSqliteLeafStore } from "../sqlite/store.ts";
import { claim, done, logOf, messageOf, nothingReady, recordOf, specOf, submit, words } from "../testing/build.ts";
import { Child } from "../testing/child.ts";

const OPENER = new URL("fixtures/opener.ts", import.meta.url);

/** A file as layout 1 had it: on session `s` a failed leaf, one whose lease ended and one behind it; on `t` one that waits for its next attempt. */
async function fileOfLayout1(retryAtMs: number, deadlineMs = 0n): Promise<string> {
  const path = join(await temporaryDirectory(), "leaf.db");
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA journal_mode = WAL; ${LAYOUT_1}`);
  for (const session of ["s", "t"]) db.prepare("INSERT INTO harness_sessions VALUES ('acme', ?, 2, 1)").run(session);
  const leaf = db.prepare(`INSERT INTO harness_leaves (leaf_id, tenant, session_id, state, due_ms, created_ms, updated_ms, epoch, last_seq)
    VALUES (?, 'acme', ?, ?, ?, 1, 1, ?, 1) RETURNING n`);
  const leaves: readonly [string, string, LeafState, number | null, number][] = [
    ["failed", "s", LeafState.FAILED, null, 1],
    ["lost", "s", LeafState.RUNNING, 5, 2],
    ["behind", "s", LeafState.QUEUED, null, 0],
    ["retrying", "t", LeafState.RETRYING, retryAtMs, 2],
  ];
  for (const [leafId, sessionId, state, due, epoch] of leaves) {
    const n = Number(leaf.get(leafId, sessionId, state, due, epoch)?.["n"]);
    const spec = specOf({ sessionId, ...(deadlineMs === 0n ? {} : { limits: { deadlineMs } }) });
    db.prepare("INSERT INTO harness_specs VALUES (?, ?)").run(n, toBinary(LeafSpecSchema, spec));
    db.prepare("INSERT INTO harness_idempotency VALUES ('acme', ?, ?, ?)").run(leafId, fingerprint(spec), n);
    const event = create(LeafEventSchema, { leafId, seq: 1n, event: { case: "stateChanged", value: { state: LeafState.QUEUED } } });
    db.prepare("INSERT INTO harness_events (n, seq, state, event) VALUES (?, 1, 1, ?)").run(n, toBinary(LeafEventSchema, event));
  }
  db.prepare("UPDATE harness_leaves SET not_before_ms = due_ms WHERE leaf_id = 'retrying'").run();
  db.close();
  return path;
}

test("a file of layout 1 is brought up to this one where it is opened, with all that it holds", async () => {
  const at = Date.now() + 600_000;
  const path = await fileOfLayout1(at);
  const store = openSqliteLeafStore(path);
  expect((await submit(store, { sessionId: "s" }, "behind")).leafId).toBe("behind");
  expect((await store.backlog()).nextDueMs).toBe(at);
  await store.redrive("failed", false);
  const lost = await claim(store);
  expect([lost.leaf.leafId, lost.takeover, lost.fence.epoch > 2n]).toEqual(["lost", true, true]);
  await store.finish(lost, done(""), []);
  const failed = await claim(store);
  expect(failed.leaf.leafId).toBe("failed");
  await store.suspend(failed, { wakeKey: "k" }, "", []);
  await nothingReady(store);
  await store.cancel("retrying", "");
  expect((await claim(store)).leaf.leafId).toBe("retrying");
  await store.send("retrying", messageOf("m"));
  await store.wake("failed", "k");
  await store.finish(await claim(store), done(""), []);
  expect((await claim(store)).leaf.leafId).toBe("behind");
  expect((await recordOf(store, "retrying")).messages).toMatchObject([{ messageId: "m", text: "about m" }]);
  expect((await recordOf(store, "lost")).messages).toEqual([]);
  expect(words(await logOf(store, "lost"))).toEqual(["queued", "running", "done"]);
  expect(await store.sweep({ leafMs: 0, tombstoneMs: 0 }, 10)).toBe(2);
  expect((await recordOf(store, "behind")).state).toBe(LeafState.RUNNING);
  await store.close();
});

test("unfinished leaves of an older layout keep their deadlines", async () => {
  const store = openSqliteLeafStore(await fileOfLayout1(Date.now() + 600_000, 300_000n));
  expect(await store.endOverdue(0, 10)).toBe(3);
  for (const leafId of ["lost", "behind", "retrying"]) {
    expect((await recordOf(store, leafId)).failure?.reason).toBe(FailureReason.DEADLINE_EXCEEDED);
  }
  await nothingReady(store);
  await store.close();
});

test("processes that open a file of layout 1 at the same time all get it, and it is brought up once", async () => {
  const path = await fileOfLayout1(0);
  const children = Array.from({ length: 4 }, () => new Child(OPENER, `sqlite:${path}`));
  await Promise.all(children.map((child) => child.ended));
  expect(children.map((child) => child.lines)).toEqual(children.map(() => ["open"]));
  const db = new DatabaseSync(path);
  expect(db.prepare("SELECT version FROM harness_layout").all()).toEqual([{ version: LAYOUT }]);
  expect(db.prepare("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
  db.close();
});
