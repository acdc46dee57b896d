import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { DecisionKind, GateSchema, LeafResultSchema, LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { Child } from "@serverless-harness/session/testing/child";
import { describe, expect, onTestFinished, test } from "vitest";
import { overriding } from "../overriding.ts";
import { Outbox } from "../webhooks/outbox.ts";
import { WebhookSettings } from "../webhooks/settings.ts";
import { Webhooks } from "../webhooks/webhooks.ts";
import { openStore } from "./schedules/store.ts";
import { storeUrls } from "./schedules/world.ts";
import { claimed, newLeaf, openDoor, SILENT } from "./support.ts";
import { newSecret, openReceiver } from "./webhook-receiver.ts";
import { ruleOf, webhooksFile } from "./webhooks-setup.ts";

const LEAVES = new URL("fixtures/mortal-leaves.ts", import.meta.url);
const OUTBOX = new URL("fixtures/mortal-outbox.ts", import.meta.url);
const urls = storeUrls();
/** Before the one step of the store, after it, and a run that nobody kills. */
const STEPS = [0, 1, 2];

/** Whether it got to its end; else it was killed. */
async function survives(file: URL, ...args: readonly string[]): Promise<boolean> {
  const child = new Child(file, ...args);
  await child.ended;
  const alive = child.lines.includes("done");
  expect(child.process.signalCode).toBe(alive ? null : "SIGKILL");
  return alive;
}

async function opened(url: string) {
  const store = await openLeafStore(url);
  onTestFinished(() => store.close());
  return store;
}

describe.each(["SQLite", "Redis"] as const)("on %s", (kind) => {
  test.each(STEPS)("a submit whose dispatcher is killed at step %i makes one leaf, for whoever sends it again", async (step) => {
    const url = await urls[kind]();
    expect(await survives(LEAVES, url, String(step))).toBe(step === 2);
    const store = await opened(url);
    const { leaves } = await openDoor({ store });
    const again = await leaves.submit({ spec: { prompt: "p" }, idempotencyKey: "key" });
    expect(again.created).toBe(step === 0);
    expect((await store.list({ limit: 10 })).leaves.map(({ leafId }) => leafId)).toEqual([again.leaf?.leafId]);
  });

  test.each(STEPS)("a decision whose dispatcher is killed at step %i is made once, for whoever sends it again", async (step) => {
    const url = await urls[kind]();
    const store = await opened(url);
    const { leaf } = await store.submit(newLeaf());
    const claim = await claimed(store);
    await store.openGate(claim, create(GateSchema, { gateId: "g", tool: "bash", summary: "May I?", proposedAction: "rm" }));
    await store.suspend(claim, { gateIds: ["g"] }, "asks", []);
    expect(await survives(LEAVES, url, String(step), leaf.leafId, "g")).toBe(step === 2);
    const { leaves } = await openDoor({ store });
    const decision = { leafId: leaf.leafId, gateId: "g", kind: DecisionKind.APPROVE, feedback: "yes", decidedBy: "jane" };
    expect((await leaves.decide(decision)).gate?.decision).toMatchObject({
      kind: DecisionKind.APPROVE,
      feedback: "yes",
      decidedBy: "jane",
    });
    await expect(leaves.decide({ ...decision, kind: DecisionKind.REJECT })).rejects.toMatchObject({ code: Code.AlreadyExists });
    const decided = (await store.events(leaf.leafId, 0n, 100)).filter(({ event }) => event.case === "gateDecided");
    expect(decided.length).toBe(1);
    expect((await store.backlog()).ready).toBe(1);
  });

  // Before and after the claim, before the end is noted, which is after the delivery, and after it; and a run that nobody kills.
  test.each([
    [0, 1],
    [1, 1],
    [2, 2],
    [3, 1],
    [4, 1],
  ])("a webhook whose dispatcher is killed at step %i is delivered by the next one, under the same id: %i in all", async (step, count) => {
    const { received, url: target, until } = await openReceiver();
    const file = await webhooksFile({ default: { secrets: [newSecret().text], endpoints: [{ name: "main", url: target }] } });
    const nowMs = Date.now();
    const url = await urls[kind]();
    const store = await openStore(url, () => nowMs + 60_000);
    onTestFinished(() => store.close());
    const earlier = await openStore(url, () => nowMs);
    await earlier.submit({ ...newLeaf(), notify: true });
    await earlier.finish(await claimed(earlier), { state: LeafState.DONE, result: create(LeafResultSchema, { text: "x" }) }, []);
    await earlier.close();
    expect(await survives(OUTBOX, url, file, String(nowMs), String(step))).toBe(step === 4);
    const rule = ruleOf("127.0.0.1");
    const settled = Promise.withResolvers<void>();
    const heir = new Outbox({
      store: overriding<LeafStore>(store, {
        settleNotice: (...args) => store.settleNotice(...args).finally(() => settled.resolve()),
      }),
      webhooks: new Webhooks(new WebhookSettings(file, rule, SILENT), rule),
      rule,
      retry: { attempts: 3, baseMs: 20 },
      timeoutMs: 5000,
      log: SILENT,
    });
    heir.start();
    await until(count);
    // What was noted as delivered leaves the heir nothing to do.
    if (step < 3) await settled.promise;
    await heir.stop();
    expect(received.length).toBe(count);
    expect(new Set(received.map(({ id }) => id)).size).toBe(1);
    expect(await store.claimNotices(1, [], 1)).toEqual([]);
  });
});
