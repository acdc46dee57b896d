import { create } from "@bufbuild/protobuf";
import { DecisionKind, GateSchema, LeafState, WebhookEvent } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { describe, expect, test, vi } from "vitest";
import { runDispatcher } from "./process.ts";
import { claimed, finishNext, newStore, refusal } from "./support.ts";
import { newSecret, openReceiver } from "./webhook-receiver.ts";
import { openWebhooks, webhooksFile } from "./webhooks-setup.ts";

/** Open a gate of the next ready leaf. */
async function openGate(store: LeafStore): Promise<void> {
  const claim = await claimed(store);
  await store.openGate(claim, create(GateSchema, { gateId: "g1", tool: "bash", summary: "rm -r build?", argumentsHash: "h" }));
  await store.suspend(claim, { gateIds: ["g1"] }, "", []);
}

describe("a leaf with webhooks", () => {
  test("tells its address of a gate and of its end, in messages that the tenant's secret has signed", async () => {
    const secret = newSecret();
    const { until, url } = await openReceiver();
    const { leaves, store } = await openWebhooks({ acme: { secrets: [secret.text] } });
    const before = Math.floor(Date.now() / 1000);
    const spec = { tenant: "acme", sessionId: "s1", prompt: "p", labels: { team: "blue" }, webhooks: [{ url: `${url}?key=1` }] };
    const leafId = (await leaves.submit({ spec })).leaf?.leafId ?? "";
    await openGate(store);
    const [gate] = await until(1);
    await leaves.decide({ leafId, gateId: "g1", kind: DecisionKind.APPROVE });
    await finishNext(store, "the answer");
    const [, end] = await until(2);
    const data = { leafId, tenant: "acme", sessionId: "s1", labels: { team: "blue" } };
    expect(gate?.json).toEqual({
      type: "leaf.gate_opened",
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
      data: { ...data, seq: 3, gate: { gateId: "g1", tool: "bash", summary: "rm -r build?" } },
    });
    expect(end?.json).toMatchObject({ type: "leaf.ended", data: { ...data, state: "LEAF_STATE_DONE" } });
    for (const message of [gate, end]) {
      expect(message?.id).toBe(`msg_${leafId}_${message?.json.data["seq"]}`);
      expect(Number(message?.timestamp)).toBeGreaterThanOrEqual(before);
      expect(message?.path).toBe("/hook?key=1");
      expect(message?.signatures).toEqual([message === undefined ? "" : secret.sign(message)]);
    }
  });

  test("tells it of what it asked for alone, and a failure by its reason", async () => {
    const { until, url } = await openReceiver();
    const { leaves, store } = await openWebhooks({ acme: { secrets: [newSecret().text] } });
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url, events: [WebhookEvent.LEAF_ENDED] }] } });
    await openGate(store);
    const [leaf] = (await store.list({ limit: 1 })).leaves;
    await store.cancel(leaf?.leafId ?? "", "");
    await store.finish(await claimed(store), { state: LeafState.CANCELLED }, []);
    const [end] = await until(1);
    expect(end?.json).toMatchObject({ type: "leaf.ended", data: { state: "LEAF_STATE_CANCELLED" } });
  });

  test("is told to its tenant's endpoints too, and one without any to nobody", async () => {
    const own = await openReceiver();
    const ops = await openReceiver();
    const endpoints = [{ name: "ops", url: ops.url, events: ["leaf.ended"] }];
    const { leaves, store } = await openWebhooks({
      acme: { secrets: [newSecret().text], endpoints },
      other: { secrets: [newSecret().text] },
    });
    for (const tenant of ["other", "acme"]) await leaves.submit({ spec: { tenant, prompt: "p" } });
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url: own.url }] } });
    for (let i = 0; i < 3; i++) await finishNext(store, "done");
    await ops.until(2);
    await own.until(1);
    expect(ops.received.map(({ json }) => json.data["tenant"])).toEqual(["acme", "acme"]);
  });

  test("is signed by old and new secret while receivers change, from the moment that the file is changed", async () => {
    const [old, fresh] = [newSecret(), newSecret()];
    const { until, received, url } = await openReceiver();
    const endpoints = [{ name: "ops", url }];
    const { leaves, store, file } = await openWebhooks({ acme: { secrets: [old.text], endpoints } });
    const end = async (): Promise<void> => {
      await leaves.submit({ spec: { tenant: "acme", prompt: "p" } });
      await finishNext(store, "done");
    };
    await end();
    const [first] = await until(1);
    expect(first?.signatures).toEqual([first === undefined ? "" : old.sign(first)]);
    await webhooksFile({ acme: { secrets: [fresh.text, old.text], endpoints } }, file);
    await vi.waitFor(
      async () => {
        await end();
        const last = received.at(-1);
        expect(last?.signatures).toEqual(last === undefined ? [] : [fresh.sign(last), old.sign(last)]);
      },
      { timeout: 20_000, interval: 100 },
    );
  });

  test.each([
    [{ url: "http://hooks.example" }, "must be https, unless the operator allows its host"],
    [{ url: "https://10.0.0.7/x" }, "10.0.0.7 is a private address"],
    [{ url: "https://2130706434/x" }, "127.0.0.2 is a loopback address"],
    [{ url: "https://[fe80::1]/x" }, "a link-local address"],
    [{ url: "https://169.254.169.254/latest" }, "a link-local address"],
    [{ url: "https://localhost/x" }, "localhost leads to a loopback address"],
    [{ url: "https://user:word@hooks.example" }, "must hold no user and password"],
    [{ url: "https://hooks.example/#part" }, "must have no fragment"],
    [{ url: "ftp://hooks.example" }, "must be an https address"],
    [{ url: `https://hooks.example/${"x".repeat(2048)}` }, "must be an https address of at most 2048 bytes"],
    [{ url: "https://hooks.example", events: [7 as WebhookEvent] }, "must be WEBHOOK_EVENT_GATE_OPENED or WEBHOOK_EVENT_LEAF_ENDED"],
  ])("is refused with %j, by the field", async (webhook, text) => {
    const { leaves, store } = await openWebhooks({ acme: { secrets: [newSecret().text] } }, { allowed: "hooks.inside" });
    const error = await refusal(leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [webhook] } }));
    expect(error).toMatchObject({ reason: "invalid_argument", message: expect.stringContaining(text) });
    expect(error.violations[0]?.field).toMatch(/^spec\.webhooks\[0\]\.(url|events)$/);
    expect((await store.list({ limit: 1 })).leaves).toEqual([]);
  });

  test("is refused with too many, or if nobody set up what they are signed with", async () => {
    const { leaves } = await openWebhooks({ acme: { secrets: [newSecret().text] } });
    const webhooks = Array.from({ length: 5 }, () => ({ url: "https://hooks.example" }));
    const many = await refusal(leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks } }));
    expect(many.message).toContain("spec.webhooks: must be at most 4");
    const unsigned = await refusal(leaves.submit({ spec: { tenant: "other", prompt: "p", webhooks: webhooks.slice(0, 1) } }));
    expect(unsigned.message).toContain("set up webhooks for the tenant other (DISPATCHER_WEBHOOKS_FILE)");
  });
});

describe("several dispatchers", () => {
  test("deliver each message once between them", async () => {
    const { until, received, url } = await openReceiver();
    const { leaves, store } = await openWebhooks({ acme: { secrets: [newSecret().text] } }, { others: 3 });
    for (let i = 0; i < 30; i++) await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url }] } });
    for (let i = 0; i < 30; i++) await finishNext(store, "done");
    await until(30);
    await vi.waitFor(async () => expect(await store.claimNotices(1, [], 1)).toEqual([]));
    expect(new Set(received.map(({ id }) => id)).size).toBe(30);
    expect(received).toHaveLength(30);
  });

  test("lose no message of one that is killed: it comes again under its id, and secrets are in no log", async () => {
    const secret = newSecret();
    const { until, received, url } = await openReceiver((response, _message, nth) => {
      // The first one is being answered when its sender dies.
      if (nth > 1) response.writeHead(200).end();
    });
    const opened = await newStore();
    const env = {
      DISPATCHER_WAKER: "none",
      DISPATCHER_WEBHOOKS_FILE: await webhooksFile({ default: { secrets: [secret.text] } }),
      DISPATCHER_WEBHOOK_ALLOWED_HOSTS: "127.0.0.1",
      DISPATCHER_WEBHOOK_TIMEOUT_MS: "1000",
    };
    const first = await runDispatcher(opened, env);
    await first.leaves.submit({ spec: { prompt: "p", webhooks: [{ url }] } });
    await finishNext(opened.store, "done");
    await until(1);
    first.child.kill("SIGKILL");
    await first.exited;
    const second = await runDispatcher(opened, env);
    await until(2);
    const line = await second.line("webhook delivered");
    expect(line).not.toContain(secret.text.slice(6));
    expect(received.map(({ id }) => id)).toEqual([received[0]?.id, received[0]?.id]);
    for (const message of received) expect(message.signatures).toEqual([secret.sign(message)]);
  });

  test("that stop in the middle of a delivery leave it to the next one at once, and it counts as no attempt", async () => {
    const { until, url } = await openReceiver((response, _message, nth) => {
      if (nth > 1) response.writeHead(200).end();
    });
    const { leaves, store, outboxes } = await openWebhooks(
      { acme: { secrets: [newSecret().text] } },
      { timeoutMs: 60_000, retry: { attempts: 1, baseMs: 10 } },
    );
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url }] } });
    await finishNext(store, "done");
    await until(1);
    await outboxes[0]?.stop();
    const [notice] = await store.claimNotices(1, [], 60_000);
    expect(JSON.parse(notice?.note ?? "")).toEqual({ "leaf:0": { attempts: 0, nextMs: 0 } });
  });
});
