import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { parseAddress, parseTarget } from "@serverless-harness/kit/address";
import { generateKeys, TokenVerifier } from "@serverless-harness/kit/hands-token";
import { createSigningKeys } from "@serverless-harness/kit/signing-keys";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { bash, HandsProcess, HeldCommand, say, scripted } from "@serverless-harness/pi-fork/testing";
import { SandboxAccessService } from "@serverless-harness/proto/brain";
import { LeafService, LeafState } from "@serverless-harness/proto/leaf";
import { type Claim, sessionKey } from "@serverless-harness/session";
import { describe, expect, onTestFinished, test } from "vitest";
import { Hands } from "../../brain/agents/hands.ts";
import { readConfig as readBrainConfig } from "../../brain/config.ts";
import { machines, Stack } from "../../brain/test/fixtures/stack.ts";
import { Sandbox } from "../sandbox/sandbox.ts";
import { launch } from "./process.ts";
import { claimed, newLeaf, openDoor, refusal, SILENT, TOKEN, workerNamed } from "./support.ts";

const shared = machines();
const BRAIN_TOKEN = "a-word-of-brains";
const HOUR_MS = 3_600_000;

/** A sandbox that asks for tokens, in a process of its own, and what makes them. `now`: the clock by which they are made. */
async function guarded(now?: () => number) {
  const directory = await temporaryDirectory();
  const file = (name: string): string => join(directory, name);
  const keys = generateKeys();
  await writeFile(file("public.pem"), keys.publicKey);
  await writeFile(file("private.pem"), keys.privateKey);
  await writeFile(file("brain.token"), `${BRAIN_TOKEN}\n`);
  const hands = await HandsProcess.start({ HANDS_PUBLIC_KEY_FILE: file("public.pem") });
  onTestFinished(() => hands.stop());
  const target = parseTarget(hands.address);
  if (target === undefined) throw new Error("the sandbox has an address");
  const sandbox = new Sandbox({ target, tls: undefined, credential: { kind: "key", privateKeyPem: keys.privateKey } }, SILENT, now);
  return { hands, sandbox, file, verifier: new TokenVerifier(keys.publicKey) };
}

/** The front door with such a sandbox. */
async function door(now?: () => number) {
  const { sandbox, verifier, hands } = await guarded(now);
  const opened = await openDoor({ hands: sandbox, brainToken: BRAIN_TOKEN });
  const access = createClient(SandboxAccessService, opened.transport(BRAIN_TOKEN));
  return { ...opened, access, verifier, hands };
}

function askFor({ leaf, fence }: Claim) {
  return { leafId: leaf.leafId, epoch: fence.epoch, worker: leaf.worker?.name ?? "" };
}

describe("a brain gets a token for the sandbox", () => {
  test("for a leaf that it runs: for its workspace and epoch, and for nothing else", async () => {
    const { store, access, verifier } = await door();
    await store.submit(newLeaf({ sessionId: "s" }));
    const claim = await claimed(store);
    const { token, makingToken, lifeMs } = await access.grant(askFor(claim));
    const { expiresAtMs, ...claims } = await verifier.verify(token);
    expect(claims).toEqual({ subject: "test-brain", scopes: ["default/s"], epoch: claim.fence.epoch });
    expect(lifeMs).toBe(300_000n);
    expect(Math.abs(expiresAtMs - Date.now() - 300_000)).toBeLessThan(60_000);
    expect(makingToken).toBe("");
  });

  test("for making a fork's workspace of its source's, with workspace calls alone", async () => {
    const { store, access, verifier } = await door();
    await store.submit(newLeaf({ sessionId: "source" }));
    await store.finish(await claimed(store), { state: LeafState.ABORTED }, []);
    await store.submit(newLeaf({ sessionId: "fork", fork: { sessionId: "source" } }));
    const { makingToken } = await access.grant(askFor(await claimed(store)));
    const claims = await verifier.verify(makingToken);
    expect([claims.scopes, claims.operations]).toEqual([["default/fork", "default/source"], ["workspaces"]]);
  });

  test("but not for what it has not claimed, or not any more", async () => {
    const { store, access } = await door();
    const { leaf } = await store.submit(newLeaf({ sessionId: "s" }));
    const nobodys = { leafId: leaf.leafId, epoch: 1n, worker: "test-brain" };
    expect(await refusal(access.grant(nobodys))).toMatchObject({ code: Code.FailedPrecondition, reason: "stale_epoch" });
    const first = await claimed(store);
    const own = askFor(first);
    for (const other of [
      { ...own, worker: "another" },
      { ...own, epoch: own.epoch + 1n },
      { ...own, leafId: "leaf_x" },
    ])
      expect(await refusal(access.grant(other))).toMatchObject({ reason: "stale_epoch" });
    await store.releaseWorker("test-brain", "");
    const second = await claimed(store, workerNamed("heir"));
    expect(await refusal(access.grant(own))).toMatchObject({ reason: "stale_epoch" });
    expect((await access.grant(askFor(second))).token).not.toBe("");
    await store.finish(second, { state: LeafState.ABORTED }, []);
    expect(await refusal(access.grant(askFor(second)))).toMatchObject({ reason: "stale_epoch" });
    expect(await refusal(access.grant({}))).toMatchObject({
      code: Code.InvalidArgument,
      violations: [{ field: "leaf_id" }, { field: "worker" }, { field: "epoch" }],
    });
  });

  test("with a word of its own, which opens nothing else, and which no client has", async () => {
    const { store, transport, leaves } = await door();
    await store.submit(newLeaf({}));
    const claim = askFor(await claimed(store));
    for (const word of [undefined, "guess", TOKEN])
      expect(await refusal(createClient(SandboxAccessService, transport(word)).grant(claim))).toMatchObject({ reason: "unauthorized" });
    expect(await refusal(createClient(LeafService, transport(BRAIN_TOKEN)).list({}))).toMatchObject({ reason: "unauthorized" });
    expect((await leaves.list({})).leaves).toHaveLength(1);
    const closed = await openDoor({ store });
    expect(await refusal(createClient(SandboxAccessService, closed.transport(TOKEN)).grant(claim))).toMatchObject({
      reason: "unauthorized",
    });
  });

  test("while the dispatcher goes down, so that it can hand back what it holds", async () => {
    const { store, access, drain, leaves } = await door();
    await store.submit(newLeaf({}));
    const claim = askFor(await claimed(store));
    drain.begin();
    expect(await refusal(leaves.list({}))).toMatchObject({ reason: "shutting_down" });
    expect((await access.grant(claim)).token).not.toBe("");
  });

  test("and is told where the dispatcher has no key", async () => {
    const { store, transport } = await openDoor({ brainToken: BRAIN_TOKEN });
    await store.submit(newLeaf({}));
    const access = createClient(SandboxAccessService, transport(BRAIN_TOKEN));
    expect(await refusal(access.grant(askFor(await claimed(store))))).toMatchObject({ reason: "no_sandbox_key" });
  });
});

describe("a dispatcher whose clock is slow", () => {
  async function workspaceOf(slowMs: number) {
    const { store, hands, origin } = await door(() => Date.now() - slowMs);
    await store.submit(newLeaf({}));
    const claim = await claimed(store);
    const dispatcher = parseAddress(origin);
    if (dispatcher === undefined) throw new Error("the door has an address");
    const config = readBrainConfig({ LEAF_STORE: "sqlite:/nowhere", HANDS_URL: hands.address, BRAIN_NAME: claim.leaf.worker?.name });
    const handsCredential = { kind: "dispatcher", address: dispatcher, tls: undefined, token: BRAIN_TOKEN } as const;
    const reach = new Hands({ ...config, handsCredential }, SILENT);
    const sandbox = await reach.open(claim);
    onTestFinished(() => {
      sandbox.close();
      reach.close();
    });
    return { sandbox, workspace: sandbox.client.workspace(sessionKey(claim.fence), claim.fence.epoch) };
  }

  test("by an hour makes tokens by the sandbox's clock, once one was refused", async () => {
    const { sandbox, workspace } = await workspaceOf(HOUR_MS);
    await workspace.create();
    const exec = workspace.exec({ execId: "one", command: { shell: "echo here" } }, () => undefined);
    expect((await exec.ended).exitCode).toBe(0);
    await sandbox.endExec("nobody");
  });

  test("by more than a day is not made up for: the refusal says what is wrong", async () => {
    const { workspace } = await workspaceOf(48 * HOUR_MS);
    await expect(workspace.create()).rejects.toMatchObject({ reason: "token_expired", message: expect.stringContaining("clock") });
  });
});

describe("a dispatcher that holds the sandbox's key", () => {
  async function stackOf() {
    const { hands, file } = await guarded();
    const stack = await Stack.open(shared);
    const listen = `unix:${file("door.sock")}`;
    const settings = {
      LEAF_STORE: stack.storeUrl,
      DISPATCHER_LISTEN: listen,
      HANDS_URL: hands.address,
      HANDS_PRIVATE_KEY_FILE: file("private.pem"),
      BRAIN_TOKEN_FILE: file("brain.token"),
    };
    const brain = { HANDS_URL: hands.address, BRAIN_TOKEN_FILE: file("brain.token"), DISPATCHER_URL: listen };
    return { stack, settings, brain, file };
  }

  test("lets brains work, and may be killed and started again under them: nothing is lost", async () => {
    const { stack, settings, brain } = await stackOf();
    const start = async () => {
      const started = launch({ ...settings, DISPATCHER_WAKER: "none" });
      await started.line("dispatcher listens");
      return started;
    };
    const first = await start();
    const gate = await HeldCommand.make();
    const running = await stack.submit(scripted(bash(gate.command), bash("echo after"), say("{{last_tool_result}}")));
    stack.brain({ ...brain, BRAIN_GRACE_MS: "3600000", BRAIN_HANDS_PATIENCE_MS: "60000" });
    await gate.begun();
    first.child.kill("SIGKILL");
    await first.exited;
    // Claimed while there is no dispatcher: it waits for one.
    const later = await stack.submit(scripted(bash("echo late"), say("{{last_tool_result}}")));
    await stack.inState(later, LeafState.RUNNING);
    await gate.open();
    expect((await stack.ended(running)).result?.text).toBe("after\n");
    await start();
    expect(await stack.ended(later)).toMatchObject({ state: LeafState.DONE, result: { text: "late\n" }, failedAttempts: 0 });
  });

  test("names neither its keys nor the operator's token to the brains that it starts", async () => {
    const { stack, settings, file } = await stackOf();
    const secrets = { DISPATCHER_TOKEN_FILE: file("token"), DISPATCHER_SIGNING_KEYS_FILE: file("keys.json") };
    await Promise.all([writeFile(file("token"), TOKEN), writeFile(file("keys.json"), await createSigningKeys())]);
    await stack.submit("wake somebody");
    const command = ["/bin/sh", "-c", `env >${file("draft")} && mv ${file("draft")} ${file("environment")}`];
    const { line } = launch({ ...settings, ...secrets, DISPATCHER_BRAIN_COMMAND: JSON.stringify(command) });
    await line('"brain exited');
    const names = (await readFile(file("environment"), "utf8")).split("\n").map((entry) => entry.split("=", 1)[0]);
    expect(names).toEqual(expect.arrayContaining(["BRAIN_TOKEN_FILE", "DISPATCHER_URL", "HANDS_URL"]));
    expect(names.filter((name) => name !== undefined && ["HANDS_PRIVATE_KEY_FILE", ...Object.keys(secrets)].includes(name))).toEqual([]);
  });
});

test("a brain whose dispatcher stays away waits in the queue, and the failure says what to look at", async () => {
  const { hands, file } = await guarded();
  const stack = await Stack.open(shared);
  const leaf = await stack.submit(scripted(bash("echo never"), say("never")), { retry: undefined });
  const settings = { HANDS_URL: hands.address, BRAIN_TOKEN_FILE: file("brain.token"), DISPATCHER_URL: `unix:${file("nobody.sock")}` };
  stack.brain({ ...settings, BRAIN_HANDS_PATIENCE_MS: "300" });
  const { failure } = await stack.inState(leaf, LeafState.RETRYING);
  expect(failure?.message).toContain("check that the dispatcher runs, and that DISPATCHER_URL is right");
});
