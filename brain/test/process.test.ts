import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { generateKeys, TokenMint } from "@serverless-harness/kit/hands-token";
import { createTransport } from "@serverless-harness/kit/transport";
import { bash, HandsProcess, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { BrainService } from "@serverless-harness/proto/brain";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { FailureReason, type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import { describe, expect, onTestFinished, test } from "vitest";
import { readConfig, VARIABLES } from "../config.ts";
import { BrainProcess, spawned } from "./fixtures/brain-process.ts";
import { machines, Stack } from "./fixtures/stack.ts";

const shared = machines();

const directoryOf = (stack: Stack) => dirname(stack.storeUrl.slice("sqlite:".length));

describe("settings that can't be used", () => {
  test("are all listed, each with its variable and what to set it to", async () => {
    const brain = new BrainProcess("b", {
      HANDS_URL: "somewhere",
      BRAIN_LEASE_MS: "soon",
      HANDS_TOKEN_FILE: "/nonexistent",
      BRAIN_LISTEN: "x",
    });
    expect(await brain.exited).toEqual({ code: 64, signal: null });
    expect(brain.errors).toEqual([
      expect.stringMatching(/^HANDS_URL is "somewhere": it must be/),
      expect.stringMatching(/^LEAF_STORE is not set: /),
      expect.stringMatching(/^HANDS_TOKEN_FILE names a file that can't be read/),
      expect.stringMatching(/^BRAIN_LEASE_MS is "soon": it must be a whole number/),
      expect.stringMatching(/^BRAIN_LISTEN is "x": it must be/),
    ]);
    expect(brain.log).toEqual([]);
  });

  test("end a brain whose store can't be opened, in one line", async () => {
    const brain = new BrainProcess("b", { HANDS_URL: "unix:/x", LEAF_STORE: "postgres://secret@host/db" });
    expect((await brain.exited).code).toBe(64);
    expect(brain.errors).toEqual([expect.stringContaining("unknown scheme postgres")]);
    expect(brain.errors.join()).not.toContain("secret");
  });

  test("are two ways to prove oneself", () => {
    const both = { LEAF_STORE: "s", HANDS_URL: "unix:/x", HANDS_TOKEN_FILE: "/dev/null", BRAIN_TOKEN_FILE: "/dev/null" };
    expect(() => readConfig(both)).toThrow("HANDS_TOKEN_FILE and BRAIN_TOKEN_FILE are both set");
  });

  test("are all in the table of docs/brain.md, and no others", async () => {
    const [reference, source] = await Promise.all(
      ["../../docs/brain.md", "../config.ts"].map((path) => readFile(new URL(path, import.meta.url), "utf8")),
    );
    const documented = [...(reference ?? "").matchAll(/^\| `([A-Z_]+)` +\|/gm)].map(([, name]) => name);
    const read = [...(source ?? "").matchAll(/env\.\w+\(\s*"([A-Z_]+)"/g)].map(([, name]) => name);
    expect(documented).toEqual(VARIABLES);
    expect(new Set(read)).toEqual(new Set(VARIABLES));
  });

  test("have defaults where nothing is said", () => {
    expect(readConfig({ LEAF_STORE: "sqlite:/s", HANDS_URL: "unix:/x" })).toMatchObject({
      graceMs: 2000,
      concurrency: 50,
      leaseMs: 10_000,
      handsPatienceMs: 10_000,
      listen: undefined,
      model: "anthropic/claude-sonnet-4-5",
      handsCredential: { kind: "none" },
      name: expect.stringMatching(/^brain_/),
    });
  });
});

describe("a sandbox that asks for tokens", () => {
  async function guarded() {
    const stack = await Stack.open(shared);
    const { privateKey, publicKey } = generateKeys();
    const file = (name: string) => join(directoryOf(stack), name);
    await writeFile(file("public.pem"), publicKey);
    const hands = await HandsProcess.start({ HANDS_PUBLIC_KEY_FILE: file("public.pem") });
    onTestFinished(() => hands.stop());
    const leaf = await stack.submit(scripted(bash("echo let in"), say("{{last_tool_result}}")));
    return { stack, leaf, hands, file, mint: new TokenMint(privateKey) };
  }

  test("takes one that a file holds", async () => {
    const { stack, leaf, hands, file, mint } = await guarded();
    const claims = { subject: "test", scopes: ["*"], expiresAtMs: Date.now() + 60_000 };
    await writeFile(file("token"), `${await mint.mint(claims)}\n`);
    stack.brain({ HANDS_URL: hands.address, HANDS_TOKEN_FILE: file("token") }, spawned);
    expect((await stack.ended(leaf)).result?.text).toBe("let in\n");
  });

  test("lets nobody else in, which no retry mends", async () => {
    const { stack, leaf, hands } = await guarded();
    stack.brain({ HANDS_URL: hands.address }, spawned);
    const { state, failure } = await stack.ended(leaf);
    expect({ state, failure }).toMatchObject({
      state: LeafState.FAILED,
      failure: { reason: FailureReason.SANDBOX_UNAVAILABLE, retryable: false },
    });
  });
});

describe("a brain that serves the wake API", () => {
  async function listening() {
    const stack = await Stack.open(shared);
    const address = { kind: "unix", path: join(directoryOf(stack), "brain.sock") } as const;
    const brain = stack.brain({ BRAIN_LISTEN: `unix:${address.path}` });
    await brain.logged("brain listens");
    const transport = createTransport({ address });
    onTestFinished(() => transport.close());
    return { stack, brain, wake: createClient(BrainService, transport), health: createClient(Health, transport) };
  }

  test("works when it is woken, tells what it did, and stays", async () => {
    const { stack, brain, wake, health } = await listening();
    const leaves = await Promise.all([stack.submit(scripted(say("one"))), stack.submit("hello", { model: "anthropic/none" })]);
    expect((await stack.get(leaves[0])).state).toBe(LeafState.QUEUED);
    expect(await wake.wake({ reason: "submit" })).toMatchObject({ claimed: 2, finished: 2, released: 0 });
    expect((await stack.get(leaves[0])).result?.text).toBe("one");
    expect(await wake.wake({ reason: "timer" })).toMatchObject({ claimed: 0, finished: 0, released: 0 });
    expect((await health.check({ service: "harness.brain.v1.BrainService" })).status).toBe(Status.SERVING);
    expect(brain.running).toBe(true);
    expect(await brain.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });

  test("joins a second wake to the first", async () => {
    const { stack, wake } = await listening();
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("done")));
    const wakes = [wake.wake({ reason: "submit" }), wake.wake({ reason: "submit" })];
    await held.begun();
    await held.open();
    expect(await Promise.all(wakes)).toMatchObject([{ claimed: 1 }, { claimed: 1 }]);
    expect((await stack.get(leaf)).claims).toBe(1);
  });

  test("hands back what it holds when it is asked to stop, and says so to whoever woke it", async () => {
    const { stack, brain, wake } = await listening();
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("done")));
    const woken = wake.wake({ reason: "submit" });
    await held.begun();
    expect(await brain.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(await woken).toMatchObject({ claimed: 1, finished: 0, released: 1 });
    expect((await stack.get(leaf)).state).toBe(LeafState.SUSPENDED);
    await held.open();
  });
});

describe("a cancel", () => {
  async function cancel(stack: Stack, leaf: Leaf): Promise<void> {
    await stack.store.cancel(leaf.leafId, "a human");
  }

  test("reaches the command that runs", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("never said")));
    stack.brain({}, spawned);
    await held.begun();
    await cancel(stack, leaf);
    expect((await stack.ended(leaf)).state).toBe(LeafState.CANCELLED);
    expect(await held.log()).toEqual(["begun"]);
    const probe = await stack.submit(scripted(bash(held.census), say("{{last_tool_result}}")));
    stack.brain({}, spawned);
    expect((await stack.ended(probe)).result?.text).toBe("0\n");
  });

  test("of a leaf whose brain is gone ends what still runs in the sandbox", async () => {
    const stack = await Stack.open(shared);
    const held = await HeldCommand.make();
    const leaf = await stack.submit(scripted(bash(held.command), say("never said")), { sessionId: "s" });
    const first = stack.brain({}, spawned);
    await held.begun();
    await first.kill("SIGTERM");
    await cancel(stack, leaf);
    const probe = await stack.submit(scripted(bash(held.census), say("{{last_tool_result}}")), { sessionId: "s" });
    stack.brain({}, spawned);
    expect((await stack.ended(leaf)).state).toBe(LeafState.CANCELLED);
    expect((await stack.ended(probe)).result?.text).toBe("0\n");
    expect(await held.log()).toEqual(["begun"]);
  });

  test("of a leaf that waits begins nothing, and its session goes on", async () => {
    const stack = await Stack.open(shared);
    const leaf = await stack.submit(scripted(say("never said")), { sessionId: "s" });
    const next = await stack.submit(scripted(say("next")), { sessionId: "s" });
    await cancel(stack, leaf);
    stack.brain({}, spawned);
    expect((await stack.ended(leaf)).state).toBe(LeafState.CANCELLED);
    expect((await stack.ended(next)).result?.text).toBe("next");
    expect(await stack.eventsOf(leaf, "modelCallStarted")).toEqual([]);
  });
});

test("no key and no token is in what a brain logs or announces", async () => {
  const stack = await Stack.open(shared);
  const leaf = await stack.submit(scripted(bash("env"), say("{{last_tool_result}}")));
  const brain = stack.brain({ ANTHROPIC_AUTH_TOKEN: "sk-very-secret", LOG_LEVEL: "trace" }, spawned);
  expect((await stack.ended(leaf)).state).toBe(LeafState.DONE);
  await brain.exited;
  const events = JSON.stringify(await stack.events(leaf), (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  expect(`${JSON.stringify(brain.log)}${brain.errors.join()}${events}`).not.toContain("sk-very-secret");
});
