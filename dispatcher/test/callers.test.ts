import { create } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { DecisionKind, GateSchema, LeafService, ScheduleService, TokenService, WebhookService } from "@serverless-harness/proto/leaf";
import { expect, test } from "vitest";
import { SCOPES } from "../callers/caller.ts";
import { openHttp1, textOf } from "./http-stream.ts";
import { ownTokens } from "./signing.ts";
import { AUTHORIZED, allEvents, claimed, finishNext, newLeaf, newStore, openDoor, refusal } from "./support.ts";

/** A door that makes tokens and takes them. */
async function openGuarded(store?: Awaited<ReturnType<typeof newStore>>["store"]) {
  const { signer, issuers } = await ownTokens();
  const door = await openDoor({ signer, issuers, ...(store === undefined ? {} : { store }) });
  const tokens = createClient(TokenService, door.transport("a-token-for-tests"));
  const as = (secret: string) => {
    const transport = door.transport(secret);
    const clients = { leaves: createClient(LeafService, transport), tokens: createClient(TokenService, transport) };
    return { secret, ...clients, schedules: createClient(ScheduleService, transport), webhooks: createClient(WebhookService, transport) };
  };
  const tokenFor = async (tenant: string, subject = "ann", ...scopes: string[]) => {
    const made = await tokens.create({ tenant, subject, scopes: scopes.length === 0 ? SCOPES.filter((s) => s !== "admin") : scopes });
    return { ...as(made.secret), token: made.token };
  };
  return { ...door, signer, tokens, as, tokenFor };
}

test("the stream of a leaf's events is for whoever may watch it", async () => {
  const { origin, tokenFor } = await openGuarded();
  const [ann, eve, submitter] = [await tokenFor("acme"), await tokenFor("evil", "eve"), await tokenFor("acme", "bob", "leaves:submit")];
  const { leaf } = await ann.leaves.submit({ spec: { prompt: "p" } });
  const ask = async ({ secret }: { secret: string }) => {
    const answer = await openHttp1(origin, `/v1/leaves/${leaf?.leafId}/events`, { authorization: `Bearer ${secret}` });
    return answer.status === 200 ? 200 : [answer.status, JSON.parse(await textOf(answer)).error];
  };
  expect(await ask(ann)).toBe(200);
  expect(await ask(eve)).toEqual([404, "leaf_not_found"]);
  expect(await ask(submitter)).toEqual([403, "scope_missing"]);
  expect(await ask({ secret: "made-up" })).toMatchObject([401, expect.any(String)]);
});

test("a tenant's schedules are its own, and a token that may only read them changes none", async () => {
  const { tokenFor, schedules: operator } = await openGuarded();
  const [ann, eve] = [await tokenFor("acme"), await tokenFor("evil", "eve")];
  const made = await ann.schedules.createSchedule({ schedule: { scheduleId: "s", cron: "0 0 1 1 *", spec: { prompt: "secret of acme" } } });
  expect([made.schedule?.tenant, made.schedule?.spec?.tenant]).toEqual(["acme", "acme"]);
  const name = { scheduleId: "s" };
  const { getSchedule, pauseSchedule, resumeSchedule, deleteSchedule, runSchedule } = eve.schedules;
  for (const call of [getSchedule, pauseSchedule, resumeSchedule, deleteSchedule, runSchedule]) {
    expect(await refusal(call(name))).toMatchObject({ code: Code.NotFound, reason: "schedule_not_found" });
    expect(await refusal(call({ ...name, tenant: "acme" }))).toMatchObject({ code: Code.PermissionDenied, reason: "foreign_tenant" });
  }
  const foreign = { scheduleId: "t", tenant: "acme", cron: "* * * * *", spec: { prompt: "x" } };
  expect((await refusal(eve.schedules.createSchedule({ schedule: foreign }))).reason).toBe("foreign_tenant");
  expect((await refusal(eve.schedules.listSchedules({ tenant: "acme" }))).reason).toBe("foreign_tenant");
  expect((await eve.schedules.listSchedules({})).schedules).toEqual([]);
  expect((await operator.listSchedules({ tenant: "acme" })).schedules).toHaveLength(1);

  const reader = (await tokenFor("acme", "rob", "schedules:read")).schedules;
  expect((await reader.getSchedule(name)).schedule?.scheduleId).toBe("s");
  expect((await reader.listSchedules({})).schedules).toHaveLength(1);
  for (const call of [reader.pauseSchedule, reader.resumeSchedule, reader.deleteSchedule, reader.runSchedule])
    expect(await refusal(call(name))).toMatchObject({ reason: "scope_missing", metadata: { scope: "schedules:write" } });
  const writer = (await tokenFor("acme", "wendy", "schedules:write")).schedules;
  expect((await refusal(writer.getSchedule(name))).reason).toBe("scope_missing");
  expect((await writer.runSchedule(name)).leaf?.spec?.tenant).toBe("acme");
});

test("a tenant sees and touches nothing of another's, and learns nothing of it", async () => {
  const { store, tokenFor, leaves: operator } = await openGuarded();
  const [ann, eve] = [await tokenFor("acme"), await tokenFor("evil", "eve")];
  const { leaf } = await ann.leaves.submit({ spec: { prompt: "secret of acme", sessionId: "s" }, idempotencyKey: "k" });
  const leafId = leaf?.leafId ?? "";
  expect(leaf?.spec?.tenant).toBe("acme");

  const none = { code: Code.NotFound, reason: "leaf_not_found" };
  const unknown = await refusal(eve.leaves.get({ leafId: `${leafId.slice(0, -4)}0000` }));
  for (const call of [
    () => eve.leaves.get({ leafId }),
    () => eve.leaves.cancel({ leafId }),
    () => eve.leaves.redrive({ leafId }),
    () => eve.leaves.send({ leafId, text: "hello" }),
    () => eve.leaves.decide({ leafId, gateId: "g", kind: DecisionKind.APPROVE }),
    () => allEvents(eve.leaves.watch({ leafId })),
  ]) {
    const refused = await refusal(call());
    expect(refused).toMatchObject(none);
    expect(refused.message).toBe(unknown.message);
  }
  expect((await eve.leaves.list({})).leaves).toEqual([]);
  expect((await eve.leaves.list({ sessionId: "s" })).leaves).toEqual([]);
  // The same names are others of hers.
  const hers = await eve.leaves.submit({ spec: { prompt: "hers", sessionId: "s" }, idempotencyKey: "k" });
  expect([hers.created, hers.leaf?.spec?.tenant]).toEqual([true, "evil"]);
  expect(await refusal(eve.leaves.submit({ spec: { prompt: "p", fork: { sessionId: "only-acme" } } }))).toMatchObject({
    reason: "session_not_found",
  });
  for (const call of [
    () => eve.leaves.submit({ spec: { prompt: "p", tenant: "acme" } }),
    () => eve.leaves.list({ tenant: "acme" }),
    () => allEvents(eve.leaves.run({ spec: { prompt: "p", tenant: "acme" } })),
  ])
    expect(await refusal(call())).toMatchObject({ code: Code.PermissionDenied, reason: "foreign_tenant" });
  expect((await ann.leaves.get({ leafId })).leaf?.state).toBe(leaf?.state);
  expect((await ann.leaves.list({})).leaves.map((each) => each.leafId)).toEqual([leafId]);
  expect((await operator.list({})).leaves).toHaveLength(2);

  // A tombstone is its tenant's as well.
  for (let i = 0; i < 2; i++) await finishNext(store, "done");
  await store.sweep({ leafMs: 0, tombstoneMs: 60_000 }, 10);
  expect((await ann.leaves.get({ leafId })).tombstone?.tenant).toBe("acme");
  expect(await refusal(eve.leaves.get({ leafId }))).toMatchObject(none);
});

test("each call needs its scope, and admin is all of them", async () => {
  const { tokenFor } = await openGuarded();
  const admin = await tokenFor("acme", "root", "admin");
  const { leaf } = await admin.leaves.submit({ spec: { prompt: "p" } });
  const leafId = leaf?.leafId ?? "";
  type Leaves = typeof admin.leaves;
  const calls: Record<string, (leaves: Leaves) => Promise<unknown>> = {
    submit: (leaves) => leaves.submit({ spec: { prompt: "p" } }),
    run: (leaves) => allEvents(leaves.run({ spec: { prompt: "" } })),
    get: (leaves) => leaves.get({ leafId }),
    list: (leaves) => leaves.list({}),
    watch: (leaves) => allEvents(leaves.watch({ leafId, afterSeq: -1n })),
    cancel: (leaves) => leaves.cancel({ leafId: "leaf_x" }),
    decide: (leaves) => leaves.decide({ leafId, gateId: "g", kind: DecisionKind.APPROVE }),
    send: (leaves) => leaves.send({ leafId, text: "t" }),
    redrive: (leaves) => leaves.redrive({ leafId }),
  };
  const covered = {
    "leaves:submit": ["submit", "run", "send", "redrive"],
    "leaves:read": ["get", "list"],
    "leaves:cancel": ["cancel"],
    "gates:decide": ["decide"],
    "schedules:read": [],
    admin: Object.keys(calls),
  };
  for (const [scope, allowed] of Object.entries(covered)) {
    const { leaves } = await tokenFor("acme", "ann", scope);
    const passed: string[] = [];
    for (const [name, call] of Object.entries(calls)) {
      const outcome = await call(leaves).then(
        () => "",
        (error: unknown) => String(error),
      );
      if (!outcome.includes("does not cover this call")) passed.push(name);
    }
    // Watch looks at its request before it looks at the leaf.
    expect([scope, passed.filter((name) => name !== "watch")]).toEqual([scope, allowed.filter((name) => name !== "watch")]);
  }
});

test("who decides, cancels and says something is whom the token names, whatever the request says", async () => {
  const { store, tokenFor, leaves: operator } = await openGuarded();
  const ann = await tokenFor("acme", "ann@example.org");
  const { leaf } = await ann.leaves.submit({ spec: { prompt: "p" } });
  const leafId = leaf?.leafId ?? "";
  const said = await ann.leaves.send({ leafId, text: "hello", sentBy: "the boss" });
  expect(said.message?.sentBy).toBe("ann@example.org");
  expect((await operator.send({ leafId, text: "hello", sentBy: "the boss" })).message?.sentBy).toBe("the boss");
  const claim = await claimed(store);
  await store.openGate(claim, create(GateSchema, { gateId: "g", tool: "bash", summary: "May I?", proposedAction: "ls" }));
  const { gate } = await ann.leaves.decide({ leafId, gateId: "g", kind: DecisionKind.APPROVE, decidedBy: "the boss" });
  expect(gate?.decision?.decidedBy).toBe("ann@example.org");
  await ann.leaves.cancel({ leafId, requestedBy: "the boss" });
  const events = await store.events(leafId, 0n, 100);
  const asked = events.flatMap(({ event }) => (event.case === "cancelRequested" ? [event.value.requestedBy] : []));
  expect(asked).toEqual(["ann@example.org"]);
});

test("a revoked token opens nothing any more: here at once, at another dispatcher when it asks again", async () => {
  const { store } = await newStore();
  const [door, other] = [await openGuarded(store), await openGuarded(store)];
  const ann = await door.tokenFor("acme");
  await ann.leaves.list({});
  expect(await refusal(createClient(LeafService, other.transport(ann.secret)).list({}))).toMatchObject({ reason: "unauthorized" });
  const { token } = await door.tokens.revoke({ tokenId: ann.token?.tokenId ?? "" });
  expect(token?.revokedAtMs).toBeGreaterThan(0n);
  expect(await refusal(ann.leaves.list({}))).toMatchObject({ code: Code.Unauthenticated, reason: "token_revoked" });
  const page = await door.tokens.list({ tenant: "acme" });
  expect(page.tokens.map(({ tokenId, subject, revokedBy }) => [tokenId, subject, revokedBy])).toEqual([
    [ann.token?.tokenId, "ann", "operator"],
  ]);
  expect(JSON.stringify(page, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))).not.toContain(
    ann.secret.slice(-20),
  );
});

test("an admin makes, sees and revokes its own tenant's tokens only", async () => {
  const { tokenFor } = await openGuarded();
  const [admin, eve] = [await tokenFor("acme", "root", "admin"), await tokenFor("evil", "eve", "admin")];
  const made = await admin.tokens.create({ subject: "bot", scopes: ["leaves:read", "schedules:*"], lifeSeconds: 60n });
  expect(made.token).toMatchObject({ tenant: "acme", createdBy: "root", scopes: ["leaves:read", "schedules:read", "schedules:write"] });
  expect(Number((made.token?.expiresAtMs ?? 0n) - (made.token?.createdAtMs ?? 0n))).toBe(60_000);
  const tokenId = made.token?.tokenId ?? "";
  expect(await refusal(eve.tokens.revoke({ tokenId }))).toMatchObject({ code: Code.NotFound, reason: "token_not_found" });
  expect(await refusal(eve.tokens.create({ tenant: "acme", subject: "x", scopes: ["admin"] }))).toMatchObject({ reason: "foreign_tenant" });
  expect((await eve.tokens.list({})).tokens.map(({ subject }) => subject)).toEqual(["eve"]);
  expect((await admin.tokens.list({})).tokens.map(({ subject }) => subject).sort()).toEqual(["bot", "root"]);
  const ann = await tokenFor("acme", "ann");
  for (const call of [
    () => ann.tokens.create({ subject: "x", scopes: ["leaves:read"] }),
    () => ann.tokens.list({}),
    () => ann.tokens.revoke({ tokenId }),
  ])
    expect(await refusal(call())).toMatchObject({ code: Code.PermissionDenied, reason: "scope_missing" });
});

test("a token that can't be made names every bad field", async () => {
  const { tokens } = await openGuarded();
  const refused = await refusal(
    tokens.create({ tenant: "no tenant", subject: "a\nb", scopes: ["leaves:read", "everything"], lifeSeconds: 40_000_000n }),
  );
  expect(refused.violations.map(({ field }) => field)).toEqual(["tenant", "subject", "scopes[1]", "life_seconds"]);
  expect((await refusal(tokens.create({ subject: "", scopes: [] }))).violations.map(({ field }) => field)).toEqual(["subject", "scopes"]);
  expect(await refusal(tokens.revoke({ tokenId: "" }))).toMatchObject({ code: Code.InvalidArgument });
  const { transport } = await openDoor();
  const keyless = createClient(TokenService, transport("a-token-for-tests"));
  expect(await refusal(keyless.create({ subject: "ann", scopes: ["leaves:read"] }))).toMatchObject({ reason: "no_signing_keys" });
});

test("plain HTTP knows the caller as well, and tells tenants nothing of everybody", async () => {
  const { origin, tokenFor } = await openGuarded();
  const reader = await tokenFor("acme", "ann", "leaves:read");
  const headers = { authorization: `Bearer ${reader.secret}` };
  const ask = async (path: string, init: RequestInit): Promise<[number, Record<string, unknown>]> => {
    const response = await fetch(`${origin}${path}`, init);
    return [response.status, (await response.json()) as Record<string, unknown>];
  };
  expect(await ask("/turn", { method: "POST", headers, body: '{"prompt": "p"}' })).toMatchObject([403, { error: "scope_missing" }]);
  expect(Object.keys((await ask("/health", { headers }))[1])).toEqual(["status", "version"]);
  expect(Object.keys((await ask("/health", { headers: AUTHORIZED }))[1])).toContain("backlog");
  const forged = { method: "POST", headers: { authorization: "Bearer a.b.c" }, body: "{}" };
  expect(await ask("/turn", forged)).toMatchObject([401, { error: "unauthorized" }]);
});

test("dead letters are their own tenant's, for readers to list and for submitters to send again", async () => {
  const { store, tokenFor } = await openGuarded();
  const [ann, eve, reader] = [await tokenFor("acme"), await tokenFor("evil", "eve"), await tokenFor("acme", "rob", "leaves:read")];
  const { leaf } = await store.submit({ ...newLeaf({ tenant: "acme" }), notify: true });
  const { leafId } = await store.cancel(leaf.leafId, "");
  const [notice] = await store.claimNotices(1, [], 60_000);
  if (notice !== undefined) await store.settleNotice(notice, { kind: "dead", note: '{"leaf:0":{"attempts":1,"error":"x","end":"dead"}}' });
  const letter = { leafId, seq: notice?.seq ?? 0n };
  expect((await reader.webhooks.listDeadLetters({})).deadLetters).toMatchObject([letter]);
  expect((await eve.webhooks.listDeadLetters({})).deadLetters).toEqual([]);
  expect(await refusal(eve.webhooks.listDeadLetters({ tenant: "acme" }))).toMatchObject({ reason: "foreign_tenant" });
  expect(await refusal(eve.webhooks.resend(letter))).toMatchObject({ code: Code.NotFound, reason: "dead_letter_not_found" });
  expect(await refusal(reader.webhooks.resend(letter))).toMatchObject({ reason: "scope_missing" });
  await ann.webhooks.resend(letter);
  expect((await reader.webhooks.listDeadLetters({})).deadLetters).toEqual([]);
});
