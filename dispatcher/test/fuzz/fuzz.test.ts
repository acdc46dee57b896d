import { randomInt } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { createSigningKeys } from "@serverless-harness/kit/signing-keys";
import { createTransport } from "@serverless-harness/kit/transport";
import { LeafResultSchema, LeafState, ScheduleService, TokenService } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import * as fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { runDispatcher } from "../process.ts";
import { newStore, TOKEN, workerNamed } from "../support.ts";
import { everythingIn, fault, shape } from "./answers.ts";
import { furnish, goneLeaf, nameFor } from "./other-tenant.ts";
import { holds, type Ids, neverWere } from "./plants.ts";
import { type Request, requests, wireOf } from "./requests.ts";
import { servedPaths, servedServices } from "./served.ts";
import { FOREIGN, OWN } from "./texts.ts";
import { type Answer, RawClient } from "./wire.ts";

const REQUESTS = 800;
/** On a machine that is busy there are fewer. */
const LIMIT_MS = 20_000;
/** `FUZZ_SEED` in the environment repeats a run. */
const SEEDS = process.env["FUZZ_SEED"] === undefined ? [20_261_130, randomInt(2 ** 31)] : [Number(process.env["FUZZ_SEED"])];

/** Ends every leaf at once, so that whoever waits for one is answered. */
async function serveLeaves(store: LeafStore, signal: AbortSignal): Promise<void> {
  const result = create(LeafResultSchema, { text: "done" });
  while (!signal.aborted) {
    const claim = await store.claim(workerNamed("fuzz"), 60_000);
    if (claim === undefined) await store.waitForWork(1000, signal);
    else await store.finish(claim, { state: LeafState.DONE, result }, []);
  }
}

/** A dispatcher with two tenants, of which one asks. */
async function openTown(compat: string) {
  const opened = await newStore();
  const volume = join(opened.directory, "volume");
  const keys = join(opened.directory, "keys.json");
  await mkdir(volume);
  await writeFile(keys, await createSigningKeys(), { mode: 0o600 });
  const { child, exited, origin } = await runDispatcher(opened, {
    DISPATCHER_WAKER: "none",
    HANDS_URL: "pool",
    DISPATCHER_SIGNING_KEYS_FILE: keys,
    DISPATCHER_VOLUME: volume,
    DISPATCHER_KEEP_ALIVE_MS: "100",
    LEAF_COMPAT: compat,
  });
  let log = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    log += chunk;
  });
  const transport = createTransport({ address: parseAddress(origin) ?? expect.fail(origin), token: TOKEN });
  onTestFinished(() => transport.close());
  const tokens = createClient(TokenService, transport);
  const town = { store: opened.store, volume, schedules: createClient(ScheduleService, transport), tokens };
  const tenants = ["victim", "asker"].map(nameFor);
  const gone: string[] = [];
  for (const tenant of tenants) gone.push(await goneLeaf(opened.store, tenant));
  const [victim, asker] = [await furnish(town, tenants[0] ?? "", gone[0] ?? ""), await furnish(town, tenants[1] ?? "", gone[1] ?? "")];
  const { secret } = await tokens.create({ tenant: asker.tenant, subject: "asker", scopes: ["admin"] });
  const { leafDone, leafFailed, leafAsking, gateId, sessionId, scheduleId, sandbox, resultRef } = asker.ids;
  const own = { leafDone, leafFailed, leafAsking, gateId, sessionId, scheduleId, sandbox, resultRef };
  const ownIds = Object.fromEntries(Object.entries(own).map(([name, id]) => [`own${name[0]?.toUpperCase()}${name.slice(1)}`, id ?? ""]));
  const stop = new AbortController();
  const served = serveLeaves(opened.store, stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await served;
  });
  return { ...opened, child, exited, origin, transport, victim, ownIds, secret, logged: () => log };
}

/** The first of two requests took an idempotency key that is the caller's own, so that the second, which names other ids, found it in use. */
function takesOwnKey(first: Answer, second: Answer): boolean {
  const isReused = ({ body }: Answer): boolean => body.includes("idempotency_key_reused");
  return !isReused(first) && isReused(second);
}

test.each(SEEDS.map((seed, i) => [seed, i === 0 ? "off" : "seed"] as const))(
  "whatever a tenant sends (seed %i, LEAF_COMPAT=%s), it breaks nothing, and learns and changes nothing of another",
  async (seed, compat) => {
    const town = await openTown(compat);
    const { victim, store, origin } = town;
    const services = await servedServices(town.transport);
    const paths = await servedPaths(origin);
    const schemas = new Map(services.flatMap(({ methods }) => methods.map(({ input }) => [input.typeName, input] as const)));
    const client = new RawClient(origin);
    onTestFinished(() => client.close());
    const before = await victim.state();
    const ids = { theirs: { ...victim.ids, ...town.ownIds }, nobodys: { ...neverWere(victim.ids), ...town.ownIds } };

    const ask = async (request: Request, theirs: Ids): Promise<Answer> => {
      const wire = wireOf(request, theirs, schemas);
      const answer = await client.ask({ ...wire, headers: { authorization: `Bearer ${town.secret}`, ...wire.headers } });
      // What it began is over, so that the next request finds the same whichever ids this one had.
      for (let backlog = await store.backlog(); backlog.ready + backlog.running > 0; backlog = await store.backlog())
        await store.waitForIdle(1000, AbortSignal.timeout(1000));
      expect(fault(answer)).toBeUndefined();
      const all = everythingIn(answer);
      expect(victim.secrets.filter((word) => all.includes(word))).toEqual([]);
      return answer;
    };
    const property = fc.asyncProperty(requests(services, paths), async (request) => {
      const answer = await ask(request, ids.theirs);
      if (!holds(request, FOREIGN)) return;
      const other = await ask(request, ids.nobodys);
      // What the caller does to its own things it may not be able to do twice.
      if (!holds(request, OWN) && !takesOwnKey(answer, other)) expect(shape(answer, ids.theirs)).toBe(shape(other, ids.nobodys));
    });
    await fc.assert(property, { seed, numRuns: REQUESTS, interruptAfterTimeLimit: LIMIT_MS });

    expect(await victim.state()).toBe(before);
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
    expect({ code: town.child.exitCode, signal: town.child.signalCode }).toEqual({ code: null, signal: null });
    const troubles = town
      .logged()
      .split("\n")
      .filter((line) => /"level":(?:"error"|"fatal"|50|60)/.test(line));
    expect(troubles).toEqual([]);
    expect(victim.secrets.filter((word) => town.logged().includes(word))).toEqual([]);
  },
  60_000,
);
