import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import type { HarnessError } from "@serverless-harness/kit/errors";
import { type Claims, OPERATIONS } from "@serverless-harness/kit/hands-claims";
import { generateKeys, TokenMint, TokenVerifier } from "@serverless-harness/kit/hands-token";
import type { DescribeResponse } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { HandsClient } from "../../client/index.ts";
import { readConfig } from "../../config.ts";
import manifest from "../../package.json" with { type: "json" };
import { type Daemon, mintToken, newBase, startDaemon } from "../fixtures/daemon.ts";
import { EPOCH, startSandbox, WORKSPACE } from "../fixtures/sandbox.ts";
import { OWNERS, startJailedBy } from "../jail/owners.ts";

const OFFER = { HANDS_LABELS: "gpu=a100, image=python-build", HANDS_CAPACITY: "24" };

/** Ask a daemon who it is, by a token for nothing else. */
async function describe({ base }: Daemon): Promise<DescribeResponse> {
  const client = new HandsClient({
    address: `unix:${join(base, "socket", "hands.sock")}`,
    token: () => mintToken(base, { scopes: [], operations: [] }),
  });
  onTestFinished(() => client.close());
  return await client.describe();
}

async function killed(daemon: Daemon): Promise<void> {
  daemon.process.kill("SIGKILL");
  await daemon.gone;
}

test.each(OWNERS)("in a jail, run by %s, a sandbox tells what it offers, and has its id on its disk", async (owner) => {
  const daemon = await startJailedBy(owner, [], OFFER);
  const told = await describe(daemon);
  expect(told).toMatchObject({ labels: { gpu: "a100", image: "python-build" }, capacity: 24, version: manifest.version });
  expect(await readFile(join(daemon.base, "state", "state-id"), "utf8")).toBe(`${told.stateId}\n`);
  expect(told.stateId.length).toBeGreaterThan(20);
});

test("the id of a sandbox is its state directory's: the same after a death, another one with a new directory", async () => {
  const first = await startDaemon();
  const { stateId, labels, capacity } = await describe(first);
  expect([labels, capacity]).toEqual([{}, 0]);
  await killed(first);
  // As if a later version had died while it wrote it.
  await writeFile(join(first.base, "state", "state-id.new"), "sta");
  const second = await startDaemon(OFFER, first.base);
  expect(await describe(second)).toMatchObject({ stateId, capacity: 24 });
  await killed(second);
  await rm(join(first.base, "state"), { recursive: true });
  expect((await describe(await startDaemon({}, first.base))).stateId).not.toBe(stateId);
});

test("half an id that a crash left is no id yet: the daemon makes one", async () => {
  const base = await newBase();
  await mkdir(join(base, "state"));
  await writeFile(join(base, "state", "state-id.new"), "sta");
  expect((await describe(await startDaemon({}, base))).stateId).toMatch(/^state_[a-z0-9]{26}$/);
});

const MALFORMED: Record<string, (path: string) => Promise<unknown>> = {
  "is empty": (path) => writeFile(path, ""),
  "was cut": (path) => writeFile(path, "state_01hf"),
  "holds something else": (path) => writeFile(path, "state_\u00e9\u00e9\u00e9 \n"),
  "is a directory": (path) => mkdir(path),
};

test.each(Object.keys(MALFORMED))("a daemon whose id's file %s does not start, and says what to do", async (name) => {
  const base = await newBase();
  await mkdir(join(base, "state"));
  await MALFORMED[name]?.(join(base, "state", "state-id"));
  const daemon = await startDaemon({}, base);
  expect(await daemon.gone).toEqual({ code: 64, signal: null });
  expect(daemon.log()).toMatch(/HANDS_STATE can't be used, as its file state-id can't be \(.+\): put it back as it was, or remove it/);
});

test("what can't be offered is refused by variable, entry and limit", () => {
  const set = { HANDS_LISTEN: "unix:/x", HANDS_WORKSPACES: "/w", HANDS_STATE: "/s" };
  const bad = { ...set, HANDS_LABELS: "gpu=a100,fast", HANDS_CAPACITY: "-1" };
  expect(() => readConfig(bad)).toThrow(/HANDS_LABELS can't be used: "fast" is no label.*\nHANDS_CAPACITY is "-1": .* 0 to 100000/);
  expect(readConfig({ ...set, HANDS_LABELS: "", HANDS_CAPACITY: "" }).offer).toEqual({ labels: {}, capacity: 0 });
});

test("every token that the sandbox takes opens its description, and nothing less does", async () => {
  const keys = generateKeys();
  const mint = new TokenMint(keys.privateKey);
  const { address } = await startSandbox({ verifier: new TokenVerifier(keys.publicKey) });
  const ask = async (claims: Partial<Claims> | undefined, signedBy = mint): Promise<DescribeResponse> => {
    const all: Claims = { subject: "pool", scopes: [], expiresAtMs: Date.now() + 60_000, ...claims };
    const token = claims === undefined ? {} : { token: await signedBy.mint(all) };
    const client = new HandsClient({ address: address.kind === "tcp" ? `http://${address.host}:${address.port}` : "", ...token });
    onTestFinished(() => client.close());
    return await client.describe();
  };
  const refusal = async (...asked: Parameters<typeof ask>) => await ask(...asked).catch(({ code, reason }: HarnessError) => [code, reason]);
  for (const operations of [[], ...OPERATIONS.map((operation) => [operation])])
    expect(await ask({ operations })).toMatchObject({ stateId: "state", capacity: 3 });
  expect(await ask({ scopes: ["*"] })).toMatchObject({ labels: { image: "test" } });
  expect(await refusal(undefined)).toEqual([Code.Unauthenticated, "unauthorized"]);
  expect(await refusal({}, new TokenMint(generateKeys().privateKey))).toEqual([Code.Unauthenticated, "unauthorized"]);
  expect(await refusal({ scopes: [WORKSPACE], epoch: EPOCH - 1n })).toEqual([Code.FailedPrecondition, "stale_epoch"]);
});
