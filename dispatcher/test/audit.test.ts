import { appendFileSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { verifyLog } from "@serverless-harness/kit/chained-log/verify";
import { ChainedLog } from "@serverless-harness/kit/chained-log/writer";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { LeafService, LeafState, ScheduleService, TokenService } from "@serverless-harness/proto/leaf";
import { expect, onTestFinished, test } from "vitest";
import { AuditLog } from "../audit/audit-log.ts";
import { askHttp1 } from "./http-client.ts";
import { launch, runDispatcher } from "./process.ts";
import { ownTokens } from "./signing.ts";
import { AUTHORIZED, allEvents, newStore, openDoor, refusal, SILENT, TOKEN, untilState } from "./support.ts";

/** A door whose audit log is at `path`, and tokens for it. */
async function openAudited(refuses = true, maxBytes = 1_000_000) {
  const directory = await temporaryDirectory();
  const path = join(directory, "audit.jsonl");
  const audit = new AuditLog(ChainedLog.open({ path, maxBytes, keepFiles: 0 }), refuses, SILENT);
  const door = await openDoor({ audit, ...(await ownTokens()) });
  onTestFinished(() => audit.close());
  const tokens = createClient(TokenService, door.transport(TOKEN));
  const tokenOf = async (tenant: string, ...scopes: string[]) => {
    const { secret, token } = await tokens.create({ tenant, subject: `ann of ${tenant}`, scopes });
    const transport = door.transport(secret);
    const schedules = createClient(ScheduleService, transport);
    return { secret, id: token?.tokenId, leaves: createClient(LeafService, transport), schedules };
  };
  return { ...door, audit, path, tokens, tokenOf };
}

function linesOf(path: string): Record<string, unknown>[] {
  return readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** What was written of an action: what it was about, and how it ended. */
function actsOf(path: string, action: string): Record<string, unknown>[] {
  const lines = linesOf(path);
  const asked = lines.filter((line) => line["action"] === action && line["stage"] === "asked");
  return asked.map(({ seq, stage: _, ...line }) => ({ ...line, ...lines.find(({ of }) => of === seq), seq }));
}

test("who submitted, sent, decided, cancelled, made and revoked tokens and changed schedules is written down, and nothing of what they wrote", async () => {
  const { path, tokens, tokenOf, store } = await openAudited();
  const ann = await tokenOf("acme", "leaves:submit", "leaves:cancel", "gates:decide", "schedules:*");
  const { leaf } = await ann.leaves.submit({ spec: { prompt: "WORDS-OF-A-PROMPT" } });
  const leafId = leaf?.leafId ?? "";
  await ann.leaves.send({ leafId, text: "WORDS-OF-A-MESSAGE" });
  expect(await refusal(ann.leaves.decide({ leafId, gateId: "gate-1", kind: 1, feedback: "WORDS-OF-A-DECISION" }))).toMatchObject({
    reason: "gate_not_found",
  });
  await ann.leaves.cancel({ leafId });
  await untilState(store, leafId, LeafState.CANCELLED);
  await ann.schedules.createSchedule({ schedule: { scheduleId: "nightly", cron: "0 3 * * *", spec: { prompt: "WORDS-OF-A-SCHEDULE" } } });
  await ann.schedules.pauseSchedule({ scheduleId: "nightly" });
  await ann.schedules.runSchedule({ scheduleId: "nightly" });
  await ann.schedules.deleteSchedule({ scheduleId: "nightly" });
  await tokens.revoke({ tokenId: ann.id ?? "" });

  const who = { by: "token", by_tenant: "acme", subject: "ann of acme", token_id: ann.id };
  expect(actsOf(path, "leaf.submit")).toMatchObject([
    { ...who, tenant: "acme", kind: "TURN", stage: "done", leaf_id: leafId, created: true },
    { by: "schedule", by_tenant: "acme", stage: "done" },
  ]);
  expect(actsOf(path, "leaf.send")).toMatchObject([{ ...who, leaf_id: leafId, stage: "done", sent_by: "ann of acme" }]);
  expect(actsOf(path, "gate.decide")).toMatchObject([{ ...who, gate_id: "gate-1", stage: "refused", reason: "gate_not_found" }]);
  expect(actsOf(path, "leaf.cancel")).toMatchObject([{ ...who, leaf_id: leafId, stage: "done" }]);
  for (const verb of ["create", "pause", "run", "delete"])
    expect(actsOf(path, `schedule.${verb}`)).toMatchObject([{ ...who, schedule_id: "nightly", stage: "done" }]);
  expect(actsOf(path, "token.create")).toMatchObject([{ by: "operator", tenant: "acme", stage: "done", made_token_id: ann.id }]);
  expect(actsOf(path, "token.revoke")).toMatchObject([{ by: "operator", revoked_token_id: ann.id, stage: "done" }]);
  const text = readFileSync(path, "utf8");
  expect(text).not.toContain("WORDS-OF");
  expect(text).not.toContain(ann.secret.split(".")[2]);
  expect(text).not.toContain(TOKEN);
  expect(await verifyLog([path])).not.toHaveProperty("broken");
});

test("refused attempts are written down over every protocol: no token, a wrong one, a scope that is missing, another tenant's leaf", async () => {
  const { path, tokenOf, origin, transport } = await openAudited();
  const [ann, eve] = [await tokenOf("acme", "leaves:submit"), await tokenOf("evil", "leaves:read", "leaves:cancel")];
  const { leaf } = await ann.leaves.submit({ spec: { prompt: "p" } });
  const leafId = leaf?.leafId ?? "";
  await refusal(createClient(LeafService, transport("nonsense")).list({}));
  await askHttp1(origin, "/turn", { method: "POST", body: '{"prompt": "p"}' });
  await refusal(ann.leaves.get({ leafId }));
  await askHttp1(origin, `/v1/leaves/${leafId}/events`, { headers: { authorization: `Bearer ${ann.secret}` } });
  await askHttp1(origin, "/turn", { method: "POST", body: '{"prompt": "p"}', headers: { authorization: `Bearer ${eve.secret}` } });
  expect(await refusal(allEvents(eve.leaves.watch({ leafId })))).toMatchObject({ reason: "leaf_not_found" });
  expect(await refusal(eve.leaves.cancel({ leafId }))).toMatchObject({ reason: "leaf_not_found" });
  expect(await refusal(eve.leaves.list({ tenant: "acme" }))).toMatchObject({ reason: "foreign_tenant" });

  const [annIs, eveIs] = [{ by_tenant: "acme" }, { by_tenant: "evil", token_id: eve.id }];
  expect(linesOf(path).filter(({ action }) => action === "denied")).toMatchObject([
    { call: "List", reason: "unauthorized" },
    { call: "/turn", reason: "unauthorized" },
    { ...annIs, call: "Get", reason: "scope_missing" },
    { ...annIs, call: `/v1/leaves/${leafId}/events`, reason: "scope_missing" },
    { ...eveIs, call: "/turn", reason: "scope_missing" },
    { ...eveIs, call: "Watch", reason: "foreign_tenant" },
    { ...eveIs, call: "Cancel", reason: "foreign_tenant" },
    { ...eveIs, call: "List", reason: "foreign_tenant" },
  ]);
});

test("denials beyond a rate are counted, so that nobody fills the disk by being refused", async () => {
  const { path, audit, transport } = await openAudited();
  const stranger = createClient(LeafService, transport("nonsense"));
  for (let count = 0; count < 40; count++) await Promise.all(Array.from({ length: 10 }, () => refusal(stranger.list({}))));
  await audit.close();
  const lines = linesOf(path);
  const written = lines.filter(({ action }) => action === "denied").length;
  const counted = lines.reduce((sum, line) => sum + (line["action"] === "denied.more" ? Number(line["count"]) : 0), 0);
  expect(written + counted).toBe(400);
  expect(written).toBeLessThan(300);
});

test.each([
  ["refuse", 503, "audit_unavailable"],
  ["go_on", 200, "ok"],
] as const)("if nothing can be written down, %s is what calls do, and /readyz says %i", async (choice, status, word) => {
  const { path, leaves, origin } = await openAudited(choice === "refuse", 2000);
  // The file is full soon, and the next one can't be begun.
  mkdirSync(`${path}.next`);
  const submitted: string[] = [];
  let refused: unknown;
  for (let count = 0; count < 10 && refused === undefined; count++) {
    const submitting = leaves.submit({ spec: { prompt: "p" } });
    await submitting.then(
      ({ leaf }) => submitted.push(leaf?.leafId ?? ""),
      (error: unknown) => {
        refused = error;
      },
    );
  }
  const ready = await askHttp1(origin, "/readyz", { headers: AUTHORIZED });
  expect(ready).toMatchObject({ status, body: { status: word, problem: expect.stringContaining("the audit log takes no lines") } });
  if (choice === "refuse") expect(fromConnectError(refused)).toMatchObject({ reason: "audit_unavailable", retryAfterMs: 5000 });
  else expect(submitted).toHaveLength(10);
  expect((await leaves.list({ pageSize: 100 })).leaves).toHaveLength(submitted.length);

  rmdirSync(`${path}.next`);
  while ((await askHttp1(origin, "/readyz", { headers: AUTHORIZED })).body["problem"] !== undefined)
    await new Promise((resolve) => setTimeout(resolve, 50));
  await leaves.submit({ spec: { prompt: "p" } });
  const verdict = await verifyLog([path]);
  expect(verdict).not.toHaveProperty("broken");
  const lost = verdict.files.flatMap(linesOf).filter(({ action }) => action === "log.lost");
  expect(lost.map(({ lines }) => Number(lines) > 0)).toEqual([true]);
});

test("a dispatcher that is killed leaves a chain that the next one goes on with, and a second one is refused the file", async () => {
  const store = await newStore();
  const path = join(store.directory, "audit.jsonl");
  const env = { DISPATCHER_AUDIT_FILE: path, DISPATCHER_WAKER: "none" };
  const first = await runDispatcher(store, env);
  const { leaf } = await first.leaves.submit({ spec: { prompt: "p" } });
  const tokenFile = join(store.directory, "token");
  const second = launch({ LEAF_STORE: store.url, DISPATCHER_LISTEN: "http://127.0.0.1:0", DISPATCHER_TOKEN_FILE: tokenFile, ...env });
  expect(await second.exited).toMatchObject({ code: 64, stderr: expect.stringContaining("is written by another process") });
  first.child.kill("SIGKILL");
  await first.exited;
  appendFileSync(path, '{"seq":');

  const next = await runDispatcher(store, env);
  await next.leaves.cancel({ leafId: leaf?.leafId ?? "" });
  next.child.kill("SIGTERM");
  await next.exited;
  const told = linesOf(path).map(({ action, stage }) => [action, stage].filter(Boolean).join(" "));
  expect(told).toEqual([
    ...["dispatcher.started", "leaf.submit asked", "leaf.submit done"],
    ...["log.torn", "dispatcher.started", "leaf.cancel asked", "leaf.cancel done", "dispatcher.stopped"],
  ]);
  expect(await verifyLog([path])).not.toHaveProperty("broken");
});
