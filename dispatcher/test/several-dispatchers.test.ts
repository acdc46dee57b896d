import { create } from "@bufbuild/protobuf";
import { newId } from "@serverless-harness/kit/ids";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { DecisionKind, GateSchema, type LeafEvent, LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { openHttp1, type SentEvent, sentEvents } from "./http-stream.ts";
import { runDispatcher } from "./process.ts";
import { AUTHORIZED, claimed, finishNext, newStore } from "./support.ts";

const server = redisServer();

interface Place {
  readonly store: LeafStore;
  readonly url: string;
  readonly directory: string;
}

const PLACES: Readonly<Record<string, () => Promise<Place>>> = {
  SQLite: () => newStore(),
  Redis: async () => {
    const url = server().freshUrl();
    const store = await openLeafStore(url);
    onTestFinished(() => store.close());
    return { store, url, directory: await storeDirectory() };
  },
};

/** Two dispatchers on one store, which start no brains: the test is the brain. */
async function two(place: Place) {
  const settings = { DISPATCHER_WAKER: "none" };
  return Promise.all([runDispatcher(place, settings), runDispatcher(place, settings)]);
}

/** Open a question in the leaf that is ready, and let go of it. */
async function ask(store: LeafStore, gateId: string): Promise<void> {
  const claim = await claimed(store);
  await store.openGate(claim, create(GateSchema, { gateId, tool: "bash", summary: "May I?", proposedAction: "rm" }));
  await store.suspend(claim, { gateIds: [gateId] }, "asks", []);
}

describe.each(Object.entries(PLACES))("several dispatchers on %s", (_kind, open) => {
  test("are one: what is submitted at one is watched at another and decided at either, once", async () => {
    const place = await open();
    const [one, other] = await two(place);
    const { leaf } = await one.leaves.submit({ spec: { prompt: "p" } });
    const leafId = leaf?.leafId ?? "";
    const watched: LeafEvent[] = [];
    const watching = (async () => {
      for await (const { event } of other.leaves.watch({ leafId })) if (event !== undefined) watched.push(event);
    })();
    await ask(place.store, "g");
    const kinds = [DecisionKind.APPROVE, DecisionKind.REJECT];
    const decide = (index: number) =>
      (index % 2 === 0 ? one : other).leaves.decide({ leafId, gateId: "g", kind: kinds[index % 2] ?? DecisionKind.APPROVE });
    const decided = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => decide(index)));
    const taken = decided.flatMap((each) => (each.status === "fulfilled" ? [each.value.gate?.decision?.kind] : []));
    expect(new Set(taken).size).toBe(1);
    expect(taken.length).toBe(10);
    await finishNext(place.store, "done");
    await watching;
    expect(watched.map(({ seq }) => seq)).toEqual(watched.map((_, index) => BigInt(index + 1)));
    expect(watched).toEqual(await place.store.events(leafId, 0n, 100));
  });

  test("make one leaf of one idempotency key, whoever is asked", async () => {
    const place = await open();
    const both = await two(place);
    const idempotencyKey = newId("key");
    const submitted = Array.from({ length: 50 }, (_, index) =>
      both[index % 2 === 0 ? 0 : 1].leaves.submit({ spec: { prompt: "p" }, idempotencyKey }),
    );
    const answers = await Promise.all(submitted);
    expect(new Set(answers.map(({ leaf }) => leaf?.leafId)).size).toBe(1);
    expect((await place.store.list({ limit: 10 })).leaves.length).toBe(1);
  });

  test("take over from one that is killed: its reader goes on at another one after the last event that it has read", async () => {
    const place = await open();
    const [one, other] = await two(place);
    const { leaf } = await one.leaves.submit({ spec: { prompt: "p" } });
    const path = `/v1/leaves/${leaf?.leafId}/events`;
    const read: SentEvent[] = [];
    const first = await openHttp1(one.origin, path, AUTHORIZED);
    const cut = (async () => {
      for await (const frame of sentEvents(first)) if (typeof frame !== "string") read.push(frame);
    })().catch(() => undefined);
    await ask(place.store, "g");
    await expect.poll(() => read.map(({ event }) => event), { timeout: 60_000 }).toContain("gateOpened");
    one.child.kill("SIGKILL");
    await Promise.all([cut, one.exited]);
    await other.leaves.decide({ leafId: leaf?.leafId ?? "", gateId: "g", kind: DecisionKind.APPROVE });
    await finishNext(place.store, "done");
    const second = await openHttp1(other.origin, path, { ...AUTHORIZED, "last-event-id": read.at(-1)?.id ?? "" });
    for await (const frame of sentEvents(second)) if (typeof frame !== "string") read.push(frame);
    expect(read.at(-1)).toMatchObject({ event: "end", data: { reason: "leaf_over" } });
    const events = await place.store.events(leaf?.leafId ?? "", 0n, 100);
    expect(read.slice(0, -1).map(({ id }) => BigInt(id))).toEqual(events.map(({ seq }) => seq));
  });

  test("lose nothing when one goes down in good order: it says where its readers go on", async () => {
    const place = await open();
    const [one, other] = await two(place);
    const { leaf } = await one.leaves.submit({ spec: { prompt: "p" } });
    const stream = await openHttp1(one.origin, `/v1/leaves/${leaf?.leafId}/events`, AUTHORIZED);
    let last: SentEvent | undefined;
    for await (const frame of sentEvents(stream)) {
      if (typeof frame === "string") continue;
      last = frame;
      if (frame.event === "stateChanged") one.child.kill("SIGTERM");
    }
    expect(last).toMatchObject({ event: "end", data: { reason: "shutting_down", afterSeq: "1" } });
    expect(await one.exited).toEqual({ code: 0, signal: null, stderr: "" });
    await finishNext(place.store, "done");
    expect((await other.leaves.get({ leafId: leaf?.leafId ?? "" })).leaf?.state).toBe(LeafState.DONE);
  });
});
