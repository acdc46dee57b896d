import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generateKeys } from "@serverless-harness/kit/hands-token";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { openLeafStore } from "@serverless-harness/session";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { sandboxesOfFile } from "../../pool/listed-sandboxes.ts";
import { newStore, SILENT } from "../support.ts";
import { listed, mute, ownHands, startPool, teller, until } from "./world.ts";

const redis = redisServer();
const A_STATE = "a-state";

const stores = {
  SQLite: async () => (await newStore()).store,
  Redis: async () => {
    const store = await openLeafStore(redis().freshUrl());
    onTestFinished(() => store.close());
    return store;
  },
};

describe.each(Object.entries(stores))("with a leaf store on %s", (_, open) => {
  test("a sandbox is in the pool with what it says of itself while it answers, and again when it is back", async () => {
    const [a, b] = [await ownHands({ HANDS_LABELS: "gpu=a100, fast=", HANDS_CAPACITY: "7" }), await ownHands()];
    const sources = [listed({ name: "a", address: a.address }, { name: "b", address: b.address, tenant: "acme" })];
    const { there, known, problemOf } = await startPool(sources, { store: await open() });
    await until(async () => (await there()).join() === "a,b");
    expect(await known("a")).toMatchObject({ address: a.address, tenant: "", labels: { gpu: "a100", fast: "" }, capacity: 7 });
    expect(await known("b")).toMatchObject({ address: b.address, tenant: "acme", labels: {}, capacity: 0 });
    const { stateId = "" } = (await known("a")) ?? {};
    expect(stateId).not.toBe("");
    await a.kill();
    await until(async () => (await there()).join() === "b");
    expect(problemOf("a")).toContain("can't be reached");
    await a.revive();
    await until(async () => (await there()).join() === "a,b");
    expect(await known("a")).toMatchObject({ stateId });
    await a.replace();
    await until(async () => (await known("a"))?.stateId !== stateId && (await there()).length === 2);
  });
});

test("a sandbox that asks for tokens is asked with one, by its own clock", async () => {
  const keys = generateKeys();
  const file = join(await temporaryDirectory(), "public.pem");
  await writeFile(file, keys.publicKey);
  const hands = await ownHands({ HANDS_PUBLIC_KEY_FILE: file });
  const source = [listed({ address: hands.address })];
  const closed = await startPool(source);
  await until(() => closed.problemOf("a")?.includes("credential") || closed.problemOf("a")?.includes("token"));
  const access = { tls: undefined, credential: { kind: "key", privateKeyPem: keys.privateKey } } as const;
  const { there } = await startPool(source, { store: closed.store, access });
  await until(async () => (await there()).length === 1);
});

describe("a sandbox that", () => {
  test("says that it takes any number of sessions gets no more than the operator gives it", async () => {
    const [any, many, few] = [0, 100_000, 2].map((capacity, i) => teller(() => ({ stateId: `s${i}`, capacity })));
    const at = async (name: string, server: typeof any) => ({ name, address: (await server)?.address ?? "" });
    const sources = [listed(await at("any", any), await at("many", many), await at("few", few))];
    const { there, known } = await startPool(sources, { capacity: 12 });
    await until(async () => (await there()).length === 3);
    expect([await known("any"), await known("many"), await known("few")].map((each) => each?.capacity)).toEqual([12, 12, 2]);
  });

  test.each([
    ["ten megabytes", { labels: { a: "x".repeat(10_000_000) } }, "larger"],
    ["33 labels", { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, ""])) }, "sandbox.labels"],
    ["a label that steers a terminal", { labels: { a: "\u001b[2J" } }, "sandbox.labels[a]"],
    ["a capacity beyond all limits", { capacity: 4_000_000_000 }, "sandbox.capacity"],
    ["no state", { stateId: "" }, "sandbox.state_id"],
    ["a state of a megabyte", { stateId: "x".repeat(100_000) }, "sandbox.state_id"],
  ])("says %s is not used, and told why", async (_, said, why) => {
    const [bad, good] = [await teller(() => ({ stateId: A_STATE, ...said })), await teller(() => ({ stateId: "good" }))];
    const sources = [listed({ name: "bad", address: bad.address }, { name: "good", address: good.address })];
    const { there, problemOf } = await startPool(sources);
    await until(() => problemOf("bad")?.includes(why));
    await until(async () => (await there()).join() === "good");
  });

  test("hangs, with eighty more, keeps no other one waiting", async () => {
    const address = await mute();
    const good = await teller(() => ({ stateId: "good" }));
    const hanging = Array.from({ length: 81 }, (_, i) => ({ name: `h${i}`, address: `${address}/${i}` }));
    const { there, problemOf } = await startPool([listed(...hanging, { name: "good", address: good.address })]);
    await until(() => problemOf("h0")?.includes("no answer"));
    await until(async () => (await there()).join() === "good");
    const before = good.asked();
    await until(() => good.asked() > before + 10);
    expect(await there()).toEqual(["good"]);
  });

  test("says another state each time is not used until it is always the same", async () => {
    let isLying = true;
    const liar = await teller((asked) => ({ stateId: isLying ? `state ${asked % 2}` : "state 1" }));
    const { there, problemOf, known } = await startPool([listed({ name: "liar", address: liar.address })]);
    await until(() => problemOf("liar")?.includes("another sandbox than before"));
    await until(async () => (await there()).length === 0);
    const before = liar.asked();
    await until(() => liar.asked() > before + 6);
    expect(await there()).toEqual([]);
    isLying = false;
    await until(async () => (await there()).length === 1);
    expect((await known("liar"))?.stateId).toBe("state 1");
  });

  test("says that it has another one's state does not take its place", async () => {
    const [own, liar] = [await teller(() => ({ stateId: A_STATE })), await teller(() => ({ stateId: A_STATE, capacity: 9 }))];
    const first = await startPool([listed({ name: "z-own", address: own.address })]);
    await until(async () => (await first.there()).length === 1);
    const second = await startPool([listed({ name: "a-liar", address: liar.address })], { store: first.store });
    await until(() => second.problemOf("a-liar") === "it is z-own already, or says so");
    const before = liar.asked();
    await until(() => liar.asked() > before + 5);
    expect(await first.there()).toEqual(["z-own"]);
  });
});

test("of two sandboxes with one name or one address the first one counts, wherever they were found, and the other one is told of once", async () => {
  const [own, other] = [await teller(() => ({ stateId: "own" })), await teller(() => ({ stateId: "other" }))];
  const warned: string[] = [];
  const log = Object.assign(Object.create(SILENT), {
    warn: ({ sandbox }: { sandbox: string }, text: string) => warned.push(`${sandbox}: ${text}`),
  });
  const sources = [
    listed({ name: "a", address: own.address }),
    listed({ name: "a", address: other.address, tenant: "evil" }, { name: "b", address: own.address }),
  ];
  const { store, there, known } = await startPool(sources, { log });
  await until(async () => (await there()).length > 0);
  const before = own.asked();
  await until(() => own.asked() > before + 5);
  expect(await there()).toEqual(["a"]);
  expect(await known("a")).toMatchObject({ address: own.address, tenant: "" });
  expect(warned.map((text) => text.slice(0, 18))).toEqual(["a: a second sandbo", "b: a second sandbo"]);
  expect(other.asked()).toBe(0);
  // Another dispatcher, which found the other one alone.
  const elsewhere = await startPool([listed({ name: "a", address: other.address })], { store });
  await until(() => elsewhere.problemOf("a")?.includes("another sandbox has its name"));
  expect(await known("a")).toMatchObject({ address: own.address });
});

test("a sandbox that another dispatcher reaches goes on as it is, whichever of them ends", async () => {
  const hands = await ownHands();
  const first = await startPool([listed({ address: hands.address })]);
  const second = await startPool([listed({ address: hands.address })], { store: first.store });
  await until(() => first.problemOf("a") === "" && second.problemOf("a") === "");
  await first.pool.stop();
  const known = async () => Number((await second.known("a"))?.aliveUntilMs);
  const before = await known();
  await until(async () => (await known()) > before + 1500);
});

test("sandboxes of a file come and go with it, and what can't be read changes nothing", async () => {
  const [a, b] = [await teller(() => ({ stateId: "a" })), await teller(() => ({ stateId: "b" }))];
  const path = join(await temporaryDirectory(), "sandboxes.json");
  const write = (...list: readonly object[]) => writeFile(path, JSON.stringify(list));
  await write({ name: "a", address: a.address });
  const { there, known } = await startPool([sandboxesOfFile(path, SILENT)]);
  await until(async () => (await there()).join() === "a");
  await write({ name: "a", address: a.address }, { name: "b", address: b.address, tenant: "acme" });
  await until(async () => (await there()).join() === "a,b");
  expect((await known("b"))?.tenant).toBe("acme");
  await writeFile(path, "[{");
  const before = a.asked();
  await until(() => a.asked() > before + 5);
  expect(await there()).toEqual(["a", "b"]);
  await write({ name: "b", address: b.address });
  await until(async () => (await there()).join() === "b");
  expect((await known("b"))?.tenant).toBe("");
});
