import { existsSync } from "node:fs";
import { join } from "node:path";
import { createLogger } from "@serverless-harness/kit/log";
import { openPiSessions } from "@serverless-harness/pi-fork";
import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { describe, expect, onTestFinished, test } from "vitest";
import { bash, say, scripted } from "../../pi-fork/test/fixtures/model.ts";
import { AgentFactory } from "../agents/agent-factory.ts";
import { readConfig } from "../config.ts";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();
const server = redisServer();
const SILENT = createLogger("test", "silent");

const stores: Readonly<Record<string, () => Promise<Stack>>> = {
  SQLite: () => Stack.open(shared),
  Redis: () => Stack.open(shared, onTestFinished, server().freshUrl()),
};

function nameOf({ spec }: Leaf) {
  return { tenant: spec?.tenant ?? "", sessionId: spec?.sessionId ?? "" };
}

/** What is left of a leaf's session: conversation, files, place in the leaf store. */
async function leftOf(stack: Stack, leaf: Leaf): Promise<boolean[]> {
  const { tenant, sessionId } = nameOf(leaf);
  const sessions = openPiSessions(stack.storeUrl);
  onTestFinished(() => sessions.close());
  const files = existsSync(join(shared.hands.workspaces, tenant, sessionId));
  return [await sessions.has({ tenant, sessionId }), files, await stack.store.sessionExists(tenant, sessionId)];
}

describe.each(Object.entries(stores))("sessions that nobody has used for long, with a leaf store on %s,", (_, open) => {
  test("are removed with their conversation, their files and their place in the leaf store; one whose leaf is not over stays", async () => {
    const stack = await open();
    const brain = stack.brain();
    const script = scripted(bash("echo file >file"), say("done"));
    const [old, used] = [await stack.submit(script), await stack.submit(script)];
    for (const leaf of [old, used]) expect((await stack.ended(leaf)).state).toBe(LeafState.DONE);
    expect((await brain.exited).code).toBe(0);
    const after = await stack.submit("not over", { sessionId: nameOf(used).sessionId });
    await stack.store.sweep({ leafMs: 0, tombstoneMs: 600_000 }, 10);
    const config = readConfig({ LEAF_STORE: stack.storeUrl, HANDS_URL: shared.hands.address, ...shared.model.environment() });
    const tidy = async (keepSessionsMs: number): Promise<void> => {
      const agents = new AgentFactory({ ...config, keepSessionsMs }, SILENT);
      await agents.expireSessions(stack.store, SILENT);
      await agents.close();
    };
    await tidy(config.keepSessionsMs);
    expect(await leftOf(stack, old)).toEqual([true, true, true]);
    await tidy(-60_000);
    expect(await leftOf(stack, old)).toEqual([false, false, false]);
    expect(await leftOf(stack, used)).toEqual([true, true, true]);
    expect(await stack.store.get(after.leafId)).toMatchObject({ state: LeafState.QUEUED });
  });
});
