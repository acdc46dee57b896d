import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { createLogger } from "@serverless-harness/kit/log";
import { createTransport } from "@serverless-harness/kit/transport";
import { openPiSessions } from "@serverless-harness/pi-fork";
import { openConversations } from "@serverless-harness/pi-fork/conversations";
import { bash, HandsProcess, say, scripted } from "@serverless-harness/pi-fork/testing";
import { WorkspaceService } from "@serverless-harness/proto/hands";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { openSqliteLeafStore } from "@serverless-harness/session/sqlite";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { machines, Stack } from "../../brain/test/fixtures/stack.ts";
import { Sandbox } from "../sandbox/sandbox.ts";
import { SessionRetention } from "../session-retention.ts";
import { launch } from "./process.ts";
import { claimed, newLeaf, newStore } from "./support.ts";

const shared = machines();
const server = redisServer();
const SILENT = createLogger("test", "silent");
const NEVER = new AbortController().signal;

const stores: Readonly<Record<string, () => Promise<Stack>>> = {
  SQLite: () => Stack.open(shared),
  Redis: () => Stack.open(shared, onTestFinished, server().freshUrl()),
};

/** A sandbox of the test's own. */
async function ownHands(): Promise<HandsProcess> {
  const hands = await HandsProcess.start();
  onTestFinished(() => hands.stop());
  return hands;
}

function addressOf(hands: HandsProcess) {
  const address = parseAddress(hands.address);
  if (address === undefined) throw new Error("the sandbox has an address");
  return address;
}

function handsOf(hands: HandsProcess) {
  const transport = createTransport({ address: addressOf(hands) });
  onTestFinished(() => transport.close());
  return createClient(WorkspaceService, transport);
}

function sandboxOf(hands: HandsProcess): Sandbox {
  return new Sandbox({ target: { address: addressOf(hands), prefix: "" }, tls: undefined, credential: { kind: "none" } }, SILENT);
}

function nameOf({ spec }: Leaf) {
  return { tenant: spec?.tenant ?? "", sessionId: spec?.sessionId ?? "" };
}

/** What removes the stack's sessions once they are idle for `keepMs`. */
function retention(stack: Stack, hands: HandsProcess, keepMs: number): SessionRetention {
  const made = new SessionRetention({
    store: stack.store,
    openConversations: () => openConversations(stack.storeUrl),
    sandbox: sandboxOf(hands),
    keepMs,
    log: SILENT,
  });
  onTestFinished(() => made.close());
  return made;
}

/** A session whose one leaf changed a file, ended and was removed. */
async function usedSession(stack: Stack, hands: HandsProcess): Promise<Leaf> {
  const leaf = await stack.submit(scripted(bash("echo file >file"), say("done")));
  const brain = stack.brain({ HANDS_URL: hands.address });
  expect((await stack.ended(leaf)).state).toBe(LeafState.DONE);
  expect((await brain.exited).code).toBe(0);
  return leaf;
}

const removeLeaves = (stack: Stack) => stack.store.sweep({ leafMs: 0, tombstoneMs: 600_000 }, 10);

/** What is left of a leaf's session: conversation, files, snapshots, place in the leaf store. */
async function leftOf(stack: Stack, hands: HandsProcess, leaf: Leaf): Promise<boolean[]> {
  const { tenant, sessionId } = nameOf(leaf);
  const sessions = openPiSessions(stack.storeUrl);
  const conversation = await sessions.has({ tenant, sessionId }).finally(() => sessions.close());
  const files = existsSync(join(hands.workspaces, tenant, sessionId));
  const artifacts = join(hands.artifacts, tenant, sessionId);
  const snapshots = existsSync(artifacts) && readdirSync(artifacts).length > 0;
  return [conversation, files, snapshots, await stack.store.sessionExists(tenant, sessionId)];
}

const ALL = [true, true, true, true];
const NOTHING = [false, false, false, false];

describe.each(Object.entries(stores))("sessions that nobody has used for long, with a leaf store on %s,", (_, open) => {
  test("go whole: conversation, files, snapshots and place in the leaf store; those that are used or have leaves stay whole", async () => {
    const [stack, hands] = [await open(), await ownHands()];
    const [old, used] = [await usedSession(stack, hands), await usedSession(stack, hands)];
    await retention(stack, hands, -60_000).removeIdle(NEVER);
    expect(await leftOf(stack, hands, old)).toEqual(ALL);
    await removeLeaves(stack);
    const after = await stack.submit("not over", { sessionId: nameOf(used).sessionId });
    await retention(stack, hands, 3_600_000).removeIdle(NEVER);
    expect(await leftOf(stack, hands, old)).toEqual(ALL);
    const several = [retention(stack, hands, -60_000), retention(stack, hands, -60_000)];
    await Promise.all(several.map((each) => each.removeIdle(NEVER)));
    expect(await leftOf(stack, hands, old)).toEqual(NOTHING);
    expect(await leftOf(stack, hands, used)).toEqual(ALL);
    expect(await stack.store.get(after.leafId)).toMatchObject({ state: LeafState.QUEUED });
  });

  test("are removed again and again until nothing is left, if the sandbox is away meanwhile", async () => {
    const [stack, hands] = [await open(), await ownHands()];
    const leaf = await usedSession(stack, hands);
    await removeLeaves(stack);
    await hands.kill();
    await expect(retention(stack, hands, -60_000).removeIdle(NEVER)).rejects.toMatchObject({ message: expect.stringContaining("reached") });
    expect(await leftOf(stack, hands, leaf)).toEqual([false, true, true, true]);
    await hands.revive();
    await retention(stack, hands, -60_000).removeIdle(NEVER);
    expect(await leftOf(stack, hands, leaf)).toEqual(NOTHING);
  });

  test("and those in front of them that can't be removed do not hold them up", async () => {
    const [stack, hands] = [await open(), await ownHands()];
    const leaves: Leaf[] = [];
    for (let i = 0; i < 2; i++) leaves.push(await usedSession(stack, hands));
    await removeLeaves(stack);
    const [first, second] = leaves as [Leaf, Leaf];
    // Somebody else took the first one's workspace over, under an epoch that this store never gave.
    const { tenant, sessionId } = nameOf(first);
    await handsOf(hands).create({ workspace: `${tenant}/${sessionId}`, epoch: BigInt(Date.now() + 3_600_000) });
    await retention(stack, hands, -60_000).removeIdle(NEVER);
    expect(await leftOf(stack, hands, first)).toEqual([false, true, true, true]);
    expect(await leftOf(stack, hands, second)).toEqual(NOTHING);
  });
});

test("a dispatcher removes them by itself, whether or not a brain ever runs", async () => {
  const hands = await ownHands();
  const { url, directory } = await newStore();
  // A session of an hour ago.
  const before = openSqliteLeafStore(url.slice("sqlite:".length), { now: () => Date.now() - 3_600_000 });
  onTestFinished(() => before.close());
  await before.submit(newLeaf({ tenant: "test", sessionId: "old" }));
  const claim = await claimed(before);
  await before.finish(claim, { state: LeafState.ABORTED }, []);
  await before.sweep({ leafMs: 0, tombstoneMs: 600_000 }, 10);
  await handsOf(hands).create({ workspace: "test/old", epoch: claim.fence.epoch });
  const { line } = launch({
    LEAF_STORE: url,
    DISPATCHER_LISTEN: `unix:${join(directory, "door.sock")}`,
    DISPATCHER_WAKER: "none",
    DISPATCHER_KEEP_SESSIONS_HOURS: "0.5",
    HANDS_URL: hands.address,
  });
  await line("sessions were idle for long enough");
  expect(existsSync(join(hands.workspaces, "test", "old"))).toBe(false);
  expect(await before.sessionExists("test", "old")).toBe(false);
});
