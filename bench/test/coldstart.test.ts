import { readFile } from "node:fs/promises";
import { openLeafStore } from "@serverless-harness/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeLongSession } from "../coldstart/long-session.ts";
import { startOnce } from "../coldstart/start.ts";
import { wakeOnce } from "../coldstart/wake.ts";
import { Lifetimes } from "../economics/lifetimes.ts";
import { startModelProcess } from "../parts/model.ts";
import { scratch } from "../parts/process.ts";
import { startSandbox } from "../parts/sandbox.ts";
import { startStack } from "../parts/stack.ts";

describe("a brain's start", () => {
  test("is timed on a new session and on a long one, of which the model gets what is behind the compaction", async () => {
    const files = await scratch();
    onTestFinished(() => files.remove());
    const storeUrl = `sqlite:${files.path("leaf.db")}`;
    const store = await openLeafStore(storeUrl);
    onTestFinished(() => store.close());
    const model = await startModelProcess();
    onTestFinished(async () => void (await model.stop()));
    const sandbox = await startSandbox(false);
    onTestFinished(() => sandbox.close());
    await makeLongSession(store, storeUrl, "long", "1k");
    const around = { store, model, sandbox, files };
    const [fresh, long] = [await startOnce(around), await startOnce(around, "long")];
    for (const { spawnedMs, startedMs, eventMs, requestMs } of [fresh, long]) {
      expect(spawnedMs).toBeLessThanOrEqual(eventMs);
      expect(startedMs).toBeLessThanOrEqual(eventMs);
      expect(eventMs).toBeLessThanOrEqual(requestMs);
    }
    expect(fresh.messages).toBe(1);
    // The summary and the prompt; the thousand messages in front of them are not among them.
    expect(long.messages).toBeGreaterThanOrEqual(1);
    expect(long.messages).toBeLessThan(10);
  });

  test("behind an approval is timed to the next request, by a brain of its own", async () => {
    const stack = await startStack(false, { BRAIN_GRACE_MS: "0" });
    const lifetimes = new Lifetimes(stack.dispatcherPid);
    onTestFinished(async () => {
      lifetimes.stop();
      await stack.close();
    });
    expect(await wakeOnce(stack, lifetimes)).toBeGreaterThan(0);
    await lifetimes.gone();
    expect(lifetimes.lives()).toHaveLength(2);
    expect(await stack.model.requests()).toHaveLength(2);
  });
});

test("every row and ratio of the bench is in the README", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const name of ["first_request_ms", "first_event_ms", "resume_10k_ms", "wake_ms", "first_request/node"])
    expect(readme).toContain(`\`${name}\``);
});
