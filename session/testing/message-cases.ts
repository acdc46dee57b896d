import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { equals } from "@bufbuild/protobuf";
import { LeafMessageSchema, LeafState, MessageMode } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "../contract/leaf-store.ts";
import type { NewMessage } from "../contract/messages.ts";
import {
  claim,
  delta,
  done,
  failed,
  LONG_LEASE_MS,
  lastChange,
  logOf,
  messageOf,
  nothingReady,
  recordOf,
  refused,
  submit,
  words,
} from "./build.ts";
import type { Case } from "./types.ts";

const INVALID: Readonly<Record<string, NewMessage>> = {
  "no id": messageOf(""),
  "an id of other characters": messageOf("a b"),
  "a blank text": messageOf("m", { text: " \n" }),
  "a text over 64 KiB": messageOf("m", { text: "t".repeat(65_537) }),
  "a sender of 257 characters": messageOf("m", { sentBy: "s".repeat(257) }),
  "an unknown mode": messageOf("m", { mode: 9 as MessageMode }),
};

async function unread(store: LeafStore, leafId: string): Promise<string[]> {
  return (await recordOf(store, leafId)).messages.map(({ messageId }) => messageId);
}

export const messageCases: readonly Case[] = [
  [
    "a message is in the record and in the log, with the store's time, and in the same words wherever it is read",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const before = BigInt(Date.now());
      const sent = await store.send(leafId, messageOf("m", { mode: MessageMode.FOLLOW_UP, text: "grüß dich\n🙂" }));
      deepStrictEqual([sent.messageId, sent.mode, sent.text, sent.sentBy], ["m", MessageMode.FOLLOW_UP, "grüß dich\n🙂", "ann"]);
      ok(sent.sentAtMs >= before && sent.sentAtMs <= BigInt(Date.now()));
      const event = (await logOf(store, leafId)).at(-1)?.event;
      ok(event?.case === "messageReceived" && event.value.message && equals(LeafMessageSchema, event.value.message, sent));
      const held = await claim(await connect());
      const found = [
        (await recordOf(store, leafId)).messages,
        (await store.list({ limit: 10 })).leaves[0]?.messages,
        held.leaf.messages,
        (await store.heartbeat(held, LONG_LEASE_MS)).messages,
      ];
      for (const messages of found) ok(messages?.length === 1 && messages[0] && equals(LeafMessageSchema, messages[0], sent));
      strictEqual((await recordOf(store, leafId)).lastSeq, 3n);
    },
  ],
  [
    "a mode that is unset is steer",
    async ({ store }) => {
      const { leafId } = await submit(store);
      strictEqual((await store.send(leafId, messageOf("m", { mode: MessageMode.UNSPECIFIED }))).mode, MessageMode.STEER);
      await store.send(leafId, messageOf("m"));
    },
  ],
  [
    "messages wait in the order in which they came, each at a time of its own, until they are delivered",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const ids = ["c", "a", "b", "e", "d"];
      for (const id of ids) await store.send(leafId, messageOf(id));
      const held = await claim(store);
      deepStrictEqual(await unread(store, leafId), ids);
      const times = held.leaf.messages.map(({ sentAtMs }) => sentAtMs);
      ok(times.every((time, i) => i === 0 || time > (times[i - 1] ?? 0n)));
      await store.delivered(held, ["b", "c", "nobody"]);
      deepStrictEqual(await unread(store, leafId), ["a", "e", "d"]);
      await store.delivered(held, ["c", "a", "e", "d", "d"]);
      deepStrictEqual(await unread(store, leafId), []);
      deepStrictEqual((await store.heartbeat(held, LONG_LEASE_MS)).messages, []);
      const read = (await logOf(store, leafId)).flatMap(({ event }) => (event.case === "messageDelivered" ? [event.value.messageId] : []));
      deepStrictEqual(read.sort(), [...ids].sort());
      strictEqual((await recordOf(store, leafId)).lastSeq, BigInt((await logOf(store, leafId)).length));
    },
  ],
  [
    "times go up behind a message that was delivered as well",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const times: bigint[] = [];
      for (let i = 0; i < 20; i++) {
        times.push((await store.send(leafId, messageOf(`m${i}`))).sentAtMs);
        await store.delivered(held, [`m${i}`]);
      }
      ok(times.every((time, i) => i === 0 || time > (times[i - 1] ?? 0n)));
    },
  ],
  [
    "a known id with the same content changes nothing, with another it is refused: also when it was delivered, and when the leaf is over",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const other = await connect();
      const sent = await store.send(leafId, messageOf("m"));
      const held = await claim(store);
      const again = async (): Promise<void> => {
        const before = (await logOf(store, leafId)).length;
        ok(equals(LeafMessageSchema, await other.send(leafId, messageOf("m")), sent));
        const others = [{ text: "else" }, { mode: MessageMode.FOLLOW_UP }, { sentBy: "bob" }];
        for (const fields of others) await refused(other.send(leafId, messageOf("m", fields)), "message_id_reused");
        strictEqual((await logOf(store, leafId)).length, before);
      };
      await again();
      await store.delivered(held, ["m"]);
      await again();
      deepStrictEqual(await unread(store, leafId), []);
      await store.finish(held, done("hi"), []);
      await again();
      strictEqual((await lastChange(store, leafId))[0], LeafState.DONE);
    },
  ],
  [
    "an id is a leaf's own",
    async ({ store }) => {
      const [first, second] = [await submit(store), await submit(store)];
      await store.send(first.leafId, messageOf("m"));
      await store.send(second.leafId, messageOf("m", { text: "something else" }));
      strictEqual((await recordOf(store, first.leafId)).messages[0]?.text, "about m");
    },
  ],
  [
    "at most 32 messages wait in a leaf",
    async ({ store }) => {
      const { leafId } = await submit(store);
      for (let i = 0; i < 32; i++) await store.send(leafId, messageOf(`m${i}`));
      await refused(store.send(leafId, messageOf("more")), "too_many_messages");
      await store.send(leafId, messageOf("m31"));
      const held = await claim(store);
      strictEqual(held.leaf.messages.length, 32);
      await store.delivered(held, ["m7"]);
      await store.send(leafId, messageOf("more"));
      await refused(store.send(leafId, messageOf("too-many")), "too_many_messages");
    },
  ],
  [
    "a message to a leaf that waits wakes nobody, and is there when the leaf is claimed",
    async ({ store }) => {
      const { leafId } = await submit(store);
      await store.suspend(await claim(store), { wakeKey: "k" }, "", []);
      await store.send(leafId, messageOf("m"));
      await nothingReady(store);
      strictEqual((await recordOf(store, leafId)).state, LeafState.SUSPENDED);
      await store.wake(leafId, "k");
      deepStrictEqual(
        (await claim(store)).leaf.messages.map(({ messageId }) => messageId),
        ["m"],
      );
    },
  ],
  [
    "what a leaf never read stays in its record when it is over, and waits for it when it is redriven",
    async ({ store }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      await store.send(leafId, messageOf("m"));
      await store.finish(held, failed("x"), [delta("y")]);
      deepStrictEqual(await unread(store, leafId), ["m"]);
      await refused(store.send(leafId, messageOf("n")), "leaf_ended");
      await store.redrive(leafId, false);
      await store.send(leafId, messageOf("n"));
      const next = await claim(store);
      deepStrictEqual(
        next.leaf.messages.map(({ messageId }) => messageId),
        ["m", "n"],
      );
      await store.delivered(next, ["m", "n"]);
      await store.finish(next, done(""), []);
      const log = ["queued", "running", "messageReceived", "y", "failed", "queued", "messageReceived", "running"];
      deepStrictEqual(words(await logOf(store, leafId)), [...log, "messageDelivered", "messageDelivered", "done"]);
    },
  ],
  [
    "a leaf that is unknown, over or cancelled takes no message",
    async ({ store }) => {
      await refused(store.send("leaf_nobody", messageOf("m")), "leaf_not_found");
      const { leafId } = await submit(store);
      await store.cancel(leafId, "");
      await refused(store.send(leafId, messageOf("m")), "leaf_ended");
      deepStrictEqual(words(await logOf(store, leafId)), ["queued", "cancelRequested", "cancelled"]);
    },
  ],
  [
    "messages that several processes send at once are all taken in, each once",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const stores = [store, await connect(), await connect()];
      await Promise.all(stores.flatMap((each) => Array.from({ length: 10 }, (_, i) => each.send(leafId, messageOf(`m${i}`)))));
      strictEqual((await unread(store, leafId)).length, 10);
      strictEqual((await logOf(store, leafId)).length, 11);
    },
  ],
  [
    "who listens to a leaf hears of a message and of a cancel that another process sends",
    async ({ store, connect }) => {
      const { leafId } = await submit(store);
      const held = await claim(store);
      const sender = await connect();
      const stop = new AbortController();
      let heard = Promise.withResolvers<void>();
      let some = false;
      store.listen(leafId, stop.signal, () => {
        some = true;
        heard.resolve();
      });
      // Whoever begins to listen may miss what comes in the same moment: the heartbeat tells of that.
      for (let i = 0; !some; i++) {
        await sender.send(leafId, messageOf(`m${i}`));
        await store.delivered(held, [`m${i}`]);
      }
      heard = Promise.withResolvers();
      await sender.cancel(leafId, "ann");
      await heard.promise;
      stop.abort();
    },
  ],
  ...Object.entries(INVALID).map(
    ([what, message]): Case => [
      `a message with ${what} is refused`,
      async ({ store }) => {
        const { leafId } = await submit(store);
        await refused(store.send(leafId, message), "invalid_argument");
        deepStrictEqual(await unread(store, leafId), []);
      },
    ],
  ),
];
