import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { childrenByParent } from "@serverless-harness/kit/proc";
import { LeafKind, LeafSpecSchema, LeafState } from "@serverless-harness/proto/leaf";
import { type LeafStore, openLeafStore } from "@serverless-harness/session";
import { scratch } from "../parts/process.ts";
import { type Sandbox, startSandbox } from "../parts/sandbox.ts";
import { startStack } from "../parts/stack.ts";

const PATIENCE_MS = 180_000;
const TENANT = "bench";

/**
 * How long a session waits, in milliseconds, from the moment when its sandbox is killed until its model is asked again, with its files restored in another
 * sandbox. All sessions of the sandbox are in the middle of a command then.
 */
export async function recovery(sessions: number): Promise<readonly number[]> {
  const files = await scratch();
  await writeFile(files.path("key"), randomBytes(32), { mode: 0o600 });
  const shared = { HANDS_ARTIFACTS: `file://${files.path("artifacts")}`, HANDS_ARTIFACTS_KEY_FILE: files.path("key") };
  const [lost, other] = [await startSandbox(false, shared), await startSandbox(false, shared)];
  const list = [
    { name: "lost", address: lost.address },
    { name: "other", address: other.address },
  ];
  const stack = await startStack(false, { HANDS_URL: "pool", DISPATCHER_SANDBOXES: JSON.stringify(list) });
  const store = await openLeafStore(stack.storeUrl);
  let isKilled = false;
  try {
    await untilThere(store, list.length);
    await store.sandboxes.drain("other", true);
    const write = { tools: [{ name: "bash", input: { command: "head -c 100000 /dev/urandom >data" } }] };
    const hang = { tools: [{ name: "bash", input: { command: "sleep 600" } }] };
    const names = Array.from({ length: sessions }, (_, index) => `session-${index}`);
    const first = await Promise.all(names.map((name) => submit(store, name, [write, { text: "Done." }])));
    await Promise.all(first.map((leafId) => until(store, leafId, 0n, "stateChanged", ({ state }) => state === LeafState.DONE)));
    const leaves = await Promise.all(names.map((name) => submit(store, name, [hang, { text: "Done." }])));
    const begun = await Promise.all(leaves.map((leafId) => until(store, leafId, 0n, "toolStarted")));
    await store.sandboxes.drain("other", false);
    const killedAt = performance.now();
    killAll(lost);
    isKilled = true;
    const asked = leaves.map(async (leafId, index) => {
      await until(store, leafId, begun[index] ?? 0n, "modelCallStarted");
      return performance.now() - killedAt;
    });
    return await Promise.all(asked);
  } finally {
    await store.close();
    await stack.close();
    await other.close();
    if (!isKilled) killAll(lost);
    await rm(lost.directory, { recursive: true, force: true });
    await files.remove();
  }
}

async function submit(store: LeafStore, sessionId: string, steps: readonly object[]): Promise<string> {
  const prompt = `Session ${sessionId}\n\`\`\`script\n${JSON.stringify({ prompts: 2, steps })}\n\`\`\``;
  const spec = create(LeafSpecSchema, { tenant: TENANT, sessionId, kind: LeafKind.TURN, prompt });
  return (await store.submit({ spec, idempotencyKey: "" })).leaf.leafId;
}

/** The place of the first event of a kind in a leaf's log, after another place. */
async function until(
  store: LeafStore,
  leafId: string,
  after: bigint,
  kind: string,
  wanted: (value: { readonly state?: number }) => boolean = () => true,
): Promise<bigint> {
  for await (const { seq, event } of store.follow(leafId, after, AbortSignal.timeout(PATIENCE_MS)))
    if (event.case === kind && wanted(event.value as { readonly state?: number })) return seq;
  throw new Error(`the leaf ${leafId} had no ${kind} within ${PATIENCE_MS} ms`);
}

async function untilThere(store: LeafStore, count: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while ((await store.sandboxes.list()).sandboxes.length < count) {
    if (performance.now() > deadline) throw new Error(`the pool has fewer than ${count} sandboxes after ${PATIENCE_MS} ms`);
    await sleep(20);
  }
}

/** The daemon with all that is below it. */
function killAll({ pid }: Sandbox): void {
  const children = childrenByParent();
  const treeOf = (at: number): number[] => [at, ...(children.get(at) ?? []).flatMap(treeOf)];
  for (const each of treeOf(pid)) {
    try {
      process.kill(each, "SIGKILL");
    } catch {
      // It ended with its parent.
    }
  }
}
