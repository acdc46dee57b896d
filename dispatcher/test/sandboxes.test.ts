import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { ChainedLog } from "@serverless-harness/kit/chained-log/writer";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { SandboxService, TokenService } from "@serverless-harness/proto/leaf";
import type { Sandboxes } from "@serverless-harness/session";
import { expect, onTestFinished, test } from "vitest";
import { AuditLog } from "../audit/audit-log.ts";
import { ownTokens } from "./signing.ts";
import { idlePool, newStore, openDoor, refusal, SILENT, TOKEN } from "./support.ts";

const ALIVE_MS = 60_000;
const KEY = "-----BEGIN PUBLIC KEY-----";

/** A door with a pool: `shared` serves everybody, `own` the tenant acme, `away` was there. */
async function openPool() {
  const { store } = await newStore();
  const path = join(await temporaryDirectory(), "audit.jsonl");
  const audit = new AuditLog(ChainedLog.open({ path, maxBytes: 1_000_000, keepFiles: 0 }), true, SILENT);
  onTestFinished(() => audit.close());
  const door = await openDoor({ store, pool: idlePool(store), sandboxPublicKey: KEY, audit, ...(await ownTokens()) });
  const report = (name: string, tenant: string, aliveMs = ALIVE_MS) =>
    store.sandboxes.report({ name, tenant, address: addressOf(name), stateId: `state of ${name}` }, aliveMs);
  await report("shared", "");
  await report("own", "acme");
  await report("away", "", 1);
  await expect.poll(async () => isThere(await store.sandboxes.list(), "away")).toBe(false);
  const as = (token: string) => createClient(SandboxService, door.transport(token));
  const tokens = createClient(TokenService, door.transport(TOKEN));
  const secretOf = async (tenant: string, scope: string, subject = "ann") =>
    (await tokens.create({ tenant, subject, scopes: [scope] })).secret;
  const tokenOf = async (tenant: string, scope: string, subject?: string) => as(await secretOf(tenant, scope, subject));
  const place = (sessionId: string, leaseMs = ALIVE_MS) => store.sandboxes.place({ tenant: "acme", sessionId, epoch: 1n }, {}, leaseMs);
  return { store, path, place, operator: as(TOKEN), tokenOf, secretOf, origin: door.origin };
}

/** `own` dialled in. */
function addressOf(name: string): string {
  return name === "own" ? `http://dispatcher:7433/v1/sandboxes/${name}/rpc` : `http://${name}:7434`;
}

function isThere({ sandboxes, nowMs }: Awaited<ReturnType<Sandboxes["list"]>>, name: string): boolean {
  return sandboxes.some((each) => each.name === name && Number(each.aliveUntilMs) > nowMs);
}

const namesIn = async (client: Awaited<ReturnType<typeof openPool>>["operator"]) =>
  (await client.listSandboxes({})).sandboxes.map(({ name }) => name);

test("an operator sees every sandbox with its load, and by the store's clock which are there", async () => {
  const { store, operator, place } = await openPool();
  for (const session of ["a", "b"]) await place(session);
  const { sandboxes, nowMs } = await operator.listSandboxes({});
  expect(sandboxes.map(({ name, tenant, placed, working, aliveUntilMs }) => [name, tenant, placed, working, aliveUntilMs > nowMs])).toEqual(
    [
      ["away", "", 0, 0, false],
      ["own", "acme", 1, 1, true],
      ["shared", "", 1, 1, true],
    ],
  );
  expect(Math.abs(Number(nowMs) - (await store.nowMs()))).toBeLessThan(60_000);
});

test("a drained sandbox takes no session until it is undrained, and either may be said twice", async () => {
  const { operator, place } = await openPool();
  await operator.drainSandbox({ name: "own" });
  expect((await operator.drainSandbox({ name: "own" })).sandbox).toMatchObject({ name: "own", draining: true });
  for (const session of ["a", "b"]) expect((await place(session)).sandbox.name).toBe("shared");
  for (let i = 0; i < 2; i++) expect((await operator.undrainSandbox({ name: "own" })).sandbox).toMatchObject({ draining: false });
  expect((await place("c")).sandbox.name).toBe("own");
});

test("a sandbox that is there and has sessions is removed by force alone; one that is empty or away goes as it is", async () => {
  const { store, operator, place } = await openPool();
  for (const session of ["a", "b"]) await place(session, 1);
  expect(await refusal(operator.removeSandbox({ name: "own" }))).toMatchObject({
    code: Code.FailedPrecondition,
    reason: "sandbox_in_use",
    metadata: { sessions: "1" },
  });
  expect(await operator.removeSandbox({ name: "own", force: true })).toMatchObject({ sessions: 1 });
  expect(await operator.removeSandbox({ name: "away" })).toMatchObject({ sessions: 0 });
  await store.sandboxes.report({ name: "shared", address: "http://shared:7434", stateId: "state of shared" }, 1);
  await expect.poll(() => operator.removeSandbox({ name: "shared" }).catch((error: unknown) => error)).toMatchObject({ sessions: 1 });
  expect(await namesIn(operator)).toEqual([]);
});

test("a tenant's admin knows the sandboxes of its tenant alone, and nobody without that scope knows any", async () => {
  const { operator, tokenOf } = await openPool();
  const [own, foreign, reader] = [await tokenOf("acme", "admin"), await tokenOf("evil", "admin"), await tokenOf("acme", "leaves:read")];
  expect(await namesIn(own)).toEqual(["own"]);
  expect(await namesIn(foreign)).toEqual([]);
  expect((await own.drainSandbox({ name: "own" })).sandbox).toMatchObject({ name: "own", draining: true });
  for (const [client, name] of [
    [own, "shared"],
    [own, "nobody"],
    [foreign, "own"],
    [foreign, "shared"],
  ] as const) {
    const told = { code: Code.NotFound, reason: "sandbox_not_found" };
    expect(await refusal(client.drainSandbox({ name }))).toMatchObject(told);
    expect(await refusal(client.undrainSandbox({ name }))).toMatchObject(told);
    expect(await refusal(client.removeSandbox({ name, force: true }))).toMatchObject(told);
  }
  const { listSandboxes, drainSandbox, undrainSandbox, removeSandbox } = reader;
  for (const call of [listSandboxes, drainSandbox, undrainSandbox, removeSandbox])
    expect(await refusal(call({ name: "own" }))).toMatchObject({ code: Code.PermissionDenied, reason: "scope_missing" });
  expect(await namesIn(operator)).toEqual(["away", "own", "shared"]);
});

test("who drained, undrained and removed what stands in the audit log, and who was refused", async () => {
  const { path, operator, tokenOf } = await openPool();
  const [own, foreign] = [await tokenOf("acme", "admin"), await tokenOf("evil", "admin")];
  await own.drainSandbox({ name: "own" });
  await operator.undrainSandbox({ name: "own" });
  await operator.removeSandbox({ name: "own" });
  await refusal(foreign.drainSandbox({ name: "shared" }));
  const lines = readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line): Record<string, unknown> => JSON.parse(line));
  const asked = lines.filter(({ action, stage }) => String(action).startsWith("sandbox.") && stage === "asked");
  expect(asked).toMatchObject([
    { action: "sandbox.drain", sandbox: "own", by: "token", by_tenant: "acme", subject: "ann" },
    { action: "sandbox.undrain", sandbox: "own", by: "operator" },
    { action: "sandbox.remove", sandbox: "own", by: "operator" },
  ]);
  expect(lines.filter(({ action, stage }) => String(action).startsWith("sandbox.") && stage === "done")).toHaveLength(3);
  expect(lines.filter(({ action }) => action === "denied")).toMatchObject([
    { call: "DrainSandbox", reason: "foreign_tenant", by_tenant: "evil" },
  ]);
});

test("a name that is none is refused, and so is all of it without a pool", async () => {
  const { operator } = await openPool();
  for (const name of ["", "a/b", "..", "x".repeat(129)])
    expect(await refusal(operator.drainSandbox({ name }))).toMatchObject({ code: Code.InvalidArgument, violations: [{ field: "name" }] });
  const door = await openDoor();
  const { listSandboxes, drainSandbox } = createClient(SandboxService, door.transport(TOKEN));
  for (const call of [listSandboxes, drainSandbox])
    expect(await refusal(call({ name: "own" }))).toMatchObject({ code: Code.FailedPrecondition, reason: "no_pool" });
});

test("a sandbox's own token sees, drains and removes that sandbox of its tenant, and no other", async () => {
  const { tokenOf } = await openPool();
  const own = await tokenOf("acme", "sandboxes:serve", "own");
  expect(await namesIn(own)).toEqual(["own"]);
  for (const [tenant, name] of [
    ["acme", "shared"],
    ["globex", "own"],
    // Its tenant's sandboxes serve everybody, and this one did not dial in.
    ["default", "shared"],
  ] as const) {
    const other = await tokenOf(tenant, "sandboxes:serve", name);
    expect(await namesIn(other)).toEqual([]);
    for (const call of [other.drainSandbox({ name }), other.undrainSandbox({ name }), other.removeSandbox({ name })])
      expect(await refusal(call)).toMatchObject({ code: Code.NotFound, reason: "sandbox_not_found" });
  }
  expect((await own.drainSandbox({ name: "own" })).sandbox).toMatchObject({ draining: true });
  expect(await refusal(own.drainSandbox({ name: "shared" }))).toMatchObject({ code: Code.NotFound });
  expect(await own.removeSandbox({ name: "own" })).toMatchObject({ sessions: 0 });
});

test("the key that verifies tokens of calls is for the sandbox that it is asked for by, and for the operator", async () => {
  const { origin, secretOf } = await openPool();
  const keyOf = async (name: string, token: string) => {
    const answer = await fetch(`${origin}/v1/sandboxes/${name}/key`, { headers: { authorization: `Bearer ${token}` } });
    return [answer.status, await answer.json()];
  };
  const own = await secretOf("acme", "sandboxes:serve", "own");
  for (const token of [own, TOKEN]) expect(await keyOf("own", token)).toEqual([200, { public_key: KEY }]);
  expect(await keyOf("other", own)).toEqual([403, expect.objectContaining({ error: "foreign_sandbox" })]);
  expect(await keyOf("own", await secretOf("acme", "admin", "own"))).toEqual([403, expect.objectContaining({ error: "scope_missing" })]);
  expect(await keyOf("own", "nobody's")).toEqual([401, expect.objectContaining({ error: "unauthorized" })]);
  const without = await openDoor();
  const answer = await fetch(`${without.origin}/v1/sandboxes/own/key`, { headers: { authorization: `Bearer ${TOKEN}` } });
  expect(await answer.json()).toMatchObject({ error: "no_sandbox_key", message: expect.stringContaining("HANDS_PRIVATE_KEY_FILE") });
});
