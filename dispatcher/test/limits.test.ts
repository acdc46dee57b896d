import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { ConfigError } from "@serverless-harness/kit/env";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { LeafService, ScheduleService, TokenService } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { expect, onTestFinished, test } from "vitest";
import { Limits } from "../limits/limits.ts";
import { defaultTable, readLimitsFile } from "../limits/limits-file.ts";
import { askHttp1 } from "./http-client.ts";
import { ownTokens } from "./signing.ts";
import { AUTHORIZED, claimed, finishNext, newStore, openDoor, refusal, SILENT, TOKEN } from "./support.ts";

const DEFAULTS = defaultTable({ schedules: 100, schedule_interval_s: 1 });

/** A door with a file of limits, on a store that others may share. */
async function openLimited(file: object, store?: LeafStore) {
  const path = join(await temporaryDirectory(), "limits.json");
  await writeFile(path, JSON.stringify(file));
  const made: Limits[] = [];
  const door = await openDoor({
    ...(store === undefined ? {} : { store }),
    limits: (of) => {
      const limits = new Limits({ store: of, path, defaults: DEFAULTS, log: SILENT });
      made.push(limits);
      return limits;
    },
    ...(await ownTokens()),
  });
  const tokens = createClient(TokenService, door.transport(TOKEN));
  const tokenOf = async (tenant: string) => {
    const { secret, token } = await tokens.create({ tenant, subject: "ann", scopes: ["leaves:submit", "leaves:read", "schedules:*"] });
    const transport = door.transport(secret);
    const authorization = `Bearer ${secret}`;
    const schedules = createClient(ScheduleService, transport);
    return { id: token?.tokenId ?? "", authorization, leaves: createClient(LeafService, transport), schedules };
  };
  return { ...door, path, tokenOf, limits: () => made[0] };
}

test("requests a second are bounded for a token and for its tenant, over RPC and plain HTTP, and the operator's are not", async () => {
  const { tokenOf, origin, leaves } = await openLimited({
    token: { requests_per_second: 0.01 },
    tenants: { busy: { requests_per_second: 0.01 } },
  });
  const [ann, bob, eve] = [await tokenOf("acme"), await tokenOf("acme"), await tokenOf("busy")];
  await ann.leaves.list({});
  const refused = await refusal(ann.leaves.list({}));
  expect(refused).toMatchObject({ reason: "limit_reached", metadata: { limit: "token.requests_per_second", value: "0.01" } });
  expect(refused.retryAfterMs).toBeGreaterThan(90_000);
  // Another token of the tenant has its own.
  await bob.leaves.list({});
  const plain = await askHttp1(origin, "/v1/limits", { headers: { authorization: bob.authorization } });
  expect(plain).toMatchObject({ status: 429, body: { error: "limit_reached" } });
  expect(Number(plain.headers["retry-after"])).toBeGreaterThan(90);
  const headers = { authorization: bob.authorization, "content-type": "application/json" };
  const json = await askHttp1(origin, "/harness.leaf.v1.LeafService/List", { method: "POST", headers, body: "{}" });
  expect(json).toMatchObject({ status: 429, body: { code: "resource_exhausted" } });
  expect(Number(json.headers["retry-after"])).toBeGreaterThan(90);

  await eve.leaves.list({});
  expect((await refusal((await tokenOf("busy")).leaves.list({}))).metadata).toMatchObject({ limit: "tenant.requests_per_second" });
  for (let count = 0; count < 20; count++) await leaves.list({});
});

test("leaves that are not over are bounded for tenants and tokens, over all dispatchers of a store", async () => {
  const { store } = await newStore();
  const limits = { tenant: { unfinished: 3 } };
  const [one, two] = [await openLimited(limits, store), await openLimited(limits, store)];
  const [ann, bob] = [await one.tokenOf("acme"), await two.tokenOf("acme")];
  await ann.leaves.submit({ spec: { prompt: "p" } });
  await bob.leaves.submit({ spec: { prompt: "p" } });
  await two.leaves.submit({ spec: { prompt: "p", tenant: "acme" } });
  for (const submit of [
    () => ann.leaves.submit({ spec: { prompt: "p" } }),
    () => one.leaves.submit({ spec: { prompt: "p", tenant: "acme" } }),
  ])
    expect(await refusal(submit())).toMatchObject({
      reason: "limit_reached",
      metadata: { limit: "tenant.unfinished", value: "3" },
      retryAfterMs: 5000,
    });
  const answer = await askHttp1(one.origin, "/turn", {
    method: "POST",
    headers: { authorization: ann.authorization },
    body: '{"prompt": "p"}',
  });
  expect(answer).toMatchObject({ status: 429, headers: { "retry-after": "5" }, body: { error: "limit_reached" } });
  await (await one.tokenOf("other")).leaves.submit({ spec: { prompt: "p" } });
  await finishNext(store, "done");
  await ann.leaves.submit({ spec: { prompt: "p" } });
});

test("a tenant's cap of running leaves and its share come from the file, and change with it", async () => {
  const { store, path, tokenOf, limits } = await openLimited({ tenants: { acme: { running: 1, weight: 3 } } });
  const ann = await tokenOf("acme");
  for (let count = 0; count < 3; count++) await ann.leaves.submit({ spec: { prompt: "p" } });
  expect(await store.tenant("acme")).toEqual({ weight: 3, maxRunning: 1 });
  await claimed(store);
  expect(await store.backlog()).toMatchObject({ ready: 0, running: 1 });
  limits()?.start();
  onTestFinished(() => limits()?.stop());
  await writeFile(path, JSON.stringify({ tenant: { running: 2 } }));
  while ((await store.tenant("acme")).maxRunning !== 2) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await store.backlog()).toMatchObject({ ready: 1, running: 1 });
});

test("/v1/limits tells a caller what its tenant and its token may have and have, and only the operator of others", async () => {
  const { tokenOf, origin } = await openLimited({ tenant: { unfinished: 5, usd_per_day: 2.5 }, token: { bytes: 1_000_000 } });
  const ann = await tokenOf("acme");
  await ann.leaves.submit({ spec: { prompt: "p" } });
  const ask = (authorization: string, query = "") => askHttp1(origin, `/v1/limits${query}`, { headers: { authorization } });
  const used = { unfinished: 1, tokens_today: 0, usd_today: 0 };
  expect(await ask(ann.authorization)).toMatchObject({
    status: 200,
    body: {
      tenant: { name: "acme", limits: { unfinished: 5, usd_per_day: 2.5, schedules: 100 }, used },
      token: { limits: { bytes: 1_000_000 }, used },
    },
  });
  expect((await ask(ann.authorization, "?tenant=other")).status).toBe(403);
  expect((await ask(AUTHORIZED.authorization, "?tenant=acme")).body["tenant"]).toMatchObject({ used });
  expect((await ask(AUTHORIZED.authorization, "?tenant=a%20b")).status).toBe(400);
});

test("schedules are bounded in number and in how often they fire", async () => {
  const { tokenOf } = await openLimited({ tenant: { schedules: 1, schedule_interval_s: 60 } });
  const { schedules } = await tokenOf("acme");
  const make = (scheduleId: string, cron: string) => schedules.createSchedule({ schedule: { scheduleId, cron, spec: { prompt: "p" } } });
  expect(await refusal(make("often", "*/30 * * * * *"))).toMatchObject({
    reason: "limit_reached",
    metadata: { limit: "tenant.schedule_interval_s", value: "60" },
  });
  expect((await refusal(make("pair", "0,1 0 3 * * *"))).message).toContain("1 s apart");
  const { schedule } = await make("minutely", "* * * * *");
  expect((await refusal(make("another", "* * * * *"))).reason).toBe("too_many_schedules");
  const faster = { ...schedule, cron: "*/10 * * * * *" };
  expect((await refusal(schedules.updateSchedule({ schedule: faster as never }))).reason).toBe("limit_reached");
});

test.each([
  ["{", "it must be JSON"],
  ['{"tenant": {"unfinished": -1}}', "tenant.unfinished: must be a whole number from 0"],
  ['{"tenants": {"a b": {}}}', "tenants.a b: must be 1 to 128"],
  ['{"token": {"running": 1}}', "token.running: is not known"],
  ['{"limits": {}}', "limits: is not known: use tenant, token, tenants, tokens"],
  ['{"tenant": {"usd_per_day": "2"}}', "tenant.usd_per_day: must be a number from 0"],
])("a file that says %s is refused, and why is said", async (text, problem) => {
  const path = join(await temporaryDirectory(), "limits.json");
  await writeFile(path, text);
  expect(() => readLimitsFile(path, DEFAULTS)).toThrow(ConfigError);
  expect(() => readLimitsFile(path, DEFAULTS)).toThrow(problem);
});
