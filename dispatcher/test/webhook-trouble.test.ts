import { createServer } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { finishNext, newLeaf, refusal } from "./support.ts";
import { newSecret, openReceiver } from "./webhook-receiver.ts";
import { openWebhooks } from "./webhooks-setup.ts";

describe("a receiver in trouble", () => {
  test("gets the same message again, under the same id, until it takes it", async () => {
    const secret = newSecret();
    const { until, url, received } = await openReceiver((response, _message, nth) => {
      if (nth === 1) response.destroy();
      else response.writeHead(nth === 2 ? 503 : 200).end();
    });
    const { leaves, store, letters } = await openWebhooks({ acme: { secrets: [secret.text] } });
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url }] } });
    await finishNext(store, "done");
    await until(3);
    expect(new Set(received.map(({ id, body }) => `${id} ${body}`)).size).toBe(1);
    for (const message of received) expect(message.signatures).toEqual([secret.sign(message)]);
    await vi.waitFor(async () => expect(await store.claimNotices(1, [], 1000)).toEqual([]));
    expect((await letters.listDeadLetters({ tenant: "acme" })).deadLetters).toEqual([]);
  });

  test("is given up after its attempts; the dead letter says why, and is delivered when it is sent again", async () => {
    let broken = true;
    const bad = await openReceiver((response) => void response.writeHead(broken ? 500 : 200).end());
    const good = await openReceiver();
    const { leaves, store, letters } = await openWebhooks({ acme: { secrets: [newSecret().text] } });
    const webhooks = [{ url: good.url }, { url: bad.url }];
    const leafId = (await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks } })).leaf?.leafId ?? "";
    await finishNext(store, "done");
    const dead = await vi.waitFor(
      async () => {
        const { deadLetters } = await letters.listDeadLetters({ tenant: "acme" });
        expect(deadLetters).toHaveLength(1);
        return deadLetters[0];
      },
      { timeout: 30_000 },
    );
    expect(dead).toMatchObject({
      leafId,
      webhookId: good.received[0]?.id,
      deliveries: [
        { target: "leaf:0", attempts: 1, error: "", delivered: true },
        { target: "leaf:1", attempts: 3, error: "it answered 500", delivered: false },
      ],
    });
    expect((await letters.listDeadLetters({})).deadLetters).toEqual([]);
    broken = false;
    await letters.resend({ leafId, seq: dead?.seq ?? 0n });
    await bad.until(4);
    await vi.waitFor(async () => expect((await letters.listDeadLetters({ tenant: "acme" })).deadLetters).toEqual([]));
    expect([good.received.length, new Set(bad.received.map(({ id }) => id)).size]).toEqual([1, 1]);
    const again = await refusal(letters.resend({ leafId, seq: dead?.seq ?? 0n }));
    expect(again.reason).toBe("dead_letter_not_found");
  });

  test("that answers 410 gets nothing more", async () => {
    const { until, url, received } = await openReceiver((response) => void response.writeHead(410).end());
    const { leaves, store, letters } = await openWebhooks({ acme: { secrets: [newSecret().text] } });
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url }] } });
    await finishNext(store, "done");
    await until(1);
    await vi.waitFor(async () => {
      const [letter] = (await letters.listDeadLetters({ tenant: "acme" })).deadLetters;
      expect(letter?.deliveries).toMatchObject([{ attempts: 1, error: "it answered 410: it wants no more messages" }]);
    });
    expect(received).toHaveLength(1);
  });

  test("that redirects leads nowhere", async () => {
    const inside = await openReceiver();
    const outside = await openReceiver((response) => void response.writeHead(307, { location: inside.url }).end());
    const { leaves, store, letters } = await openWebhooks({ acme: { secrets: [newSecret().text] } });
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url: outside.url }] } });
    await finishNext(store, "done");
    await outside.until(3);
    await vi.waitFor(async () => {
      const [letter] = (await letters.listDeadLetters({ tenant: "acme" })).deadLetters;
      expect(letter?.deliveries).toMatchObject([{ error: "it answered 307: redirects are not followed" }]);
    });
    expect(inside.received).toEqual([]);
  });

  test("that hangs is cut: before it accepts, before it answers, and in the middle of an answer", async () => {
    const silent = createServer(() => undefined).listen(0, "127.0.0.1");
    onTestFinished(() => void silent.close());
    await new Promise((resolve) => silent.once("listening", resolve));
    const deaf = await openReceiver(() => undefined);
    const halfway = await openReceiver((response) => {
      response.socket?.write("HTTP/1.1 200 OK\r\nx-half:");
    });
    const { leaves, store, letters } = await openWebhooks(
      { acme: { secrets: [newSecret().text] } },
      { timeoutMs: 200, retry: { attempts: 1, baseMs: 10 } },
    );
    const address = silent.address();
    const port = typeof address === "object" ? address?.port : 0;
    const webhooks = [{ url: `http://127.0.0.1:${port}` }, { url: deaf.url }, { url: halfway.url }];
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks } });
    await finishNext(store, "done");
    await vi.waitFor(
      async () => {
        const [letter] = (await letters.listDeadLetters({ tenant: "acme" })).deadLetters;
        expect(letter?.deliveries.map(({ error }) => error)).toEqual(Array(3).fill("no answer within 200 ms"));
      },
      { timeout: 20_000 },
    );
  });

  test("that answers with a body without end has taken the message, and is cut", async () => {
    const cut = Promise.withResolvers<void>();
    const { received, url } = await openReceiver((response) => {
      response.writeHead(200).on("close", () => cut.resolve());
      const more = (): boolean => !response.destroyed && response.write("x".repeat(16_384)) && more();
      response.on("drain", more);
      more();
    });
    const { leaves, store, letters } = await openWebhooks({ acme: { secrets: [newSecret().text] } }, { timeoutMs: 60_000 });
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url }] } });
    await finishNext(store, "done");
    await cut.promise;
    await vi.waitFor(async () => expect(await store.claimNotices(1, [], 1000)).toEqual([]));
    expect((await letters.listDeadLetters({ tenant: "acme" })).deadLetters).toEqual([]);
    expect(received).toHaveLength(1);
  });

  test("holds up no other tenant's messages, however many wait for it", async () => {
    const slow = await openReceiver(() => undefined);
    const quick = await openReceiver();
    const { leaves, store } = await openWebhooks(
      { slow: { secrets: [newSecret().text] }, quick: { secrets: [newSecret().text] } },
      { timeoutMs: 60_000 },
    );
    for (let i = 0; i < 80; i++) await leaves.submit({ spec: { tenant: "slow", prompt: "p", webhooks: [{ url: slow.url }] } });
    for (let i = 0; i < 80; i++) await finishNext(store, "done");
    await slow.until(4);
    for (let i = 0; i < 8; i++) await leaves.submit({ spec: { tenant: "quick", prompt: "p", webhooks: [{ url: quick.url }] } });
    for (let i = 0; i < 8; i++) await finishNext(store, "done");
    await quick.until(8);
    // Not one of the slow ones was answered, and no more than those were begun.
    expect(slow.received).toHaveLength(4);
  });

  test("is not reached where its address is inside, also if that is known at the delivery only", async () => {
    const { received, url } = await openReceiver();
    const { store, letters } = await openWebhooks(
      { acme: { secrets: [newSecret().text] } },
      { allowed: "hooks.example", retry: { attempts: 2, baseMs: 10 } },
    );
    // As one that was taken while its address was allowed.
    await store.submit({ ...newLeaf({ tenant: "acme", webhooks: [{ url }] }), notify: true });
    await finishNext(store, "done");
    await vi.waitFor(
      async () => {
        const [letter] = (await letters.listDeadLetters({ tenant: "acme" })).deadLetters;
        const error = expect.stringContaining("have the operator allow this one in DISPATCHER_WEBHOOK_ALLOWED_HOSTS");
        expect(letter?.deliveries).toMatchObject([{ attempts: 2, error }]);
      },
      { timeout: 20_000 },
    );
    expect(received).toEqual([]);
  });

  test("is found by a name that the operator allowed", async () => {
    const { until, url } = await openReceiver();
    const { leaves, store } = await openWebhooks({ acme: { secrets: [newSecret().text] } }, { allowed: "localhost" });
    await leaves.submit({ spec: { tenant: "acme", prompt: "p", webhooks: [{ url: url.replace("127.0.0.1", "localhost") }] } });
    await finishNext(store, "done");
    await until(1);
  });
});
