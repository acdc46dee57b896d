import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { AddressRule } from "@serverless-harness/kit/address-rule";
import { fromConnectError, type HarnessError } from "@serverless-harness/kit/errors";
import { HealthState } from "@serverless-harness/kit/health";
import type { JwtSigner } from "@serverless-harness/kit/jwt";
import { createLogger } from "@serverless-harness/kit/log";
import type { Server } from "@serverless-harness/kit/serve";
import { startServer, storeDirectory } from "@serverless-harness/kit/testing";
import {
  type Leaf,
  type LeafEvent,
  LeafResultSchema,
  LeafService,
  LeafSpecSchema,
  LeafState,
  LeafStateSchema,
  ScheduleService,
  type Worker,
  WorkerSchema,
} from "@serverless-harness/proto/leaf";
import { type Claim, type LeafStore, openLeafStore } from "@serverless-harness/session";
import { onTestFinished } from "vitest";
import { type Audit, NO_AUDIT } from "../audit/audit.ts";
import { Authenticator } from "../callers/authenticator.ts";
import { SignedTokens, type TrustedIssuer } from "../callers/signed-tokens.ts";
import { Drain } from "../drain.ts";
import { IssuedTokens } from "../issued-tokens.ts";
import { Leaves } from "../leaves.ts";
import { Limits } from "../limits/limits.ts";
import { defaultTable } from "../limits/limits-file.ts";
import { Pool } from "../pool/pool.ts";
import { PoolState } from "../pool/pool-state.ts";
import { routes } from "../routes.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { SandboxProbe } from "../sandbox-probe.ts";
import { ScheduleDriver } from "../schedules/driver.ts";
import { Schedules } from "../schedules/schedules.ts";
import type { SeedApiSettings } from "../seed-api/settings.ts";
import type { Volume } from "../volume/volume.ts";
import { OutsideWaker } from "../waker/outside.ts";
import type { Waker } from "../waker/waker.ts";
import { Webhooks } from "../webhooks/webhooks.ts";

/** Nobody is told of anything. */
export const NO_WEBHOOKS = new Webhooks(undefined, new AddressRule({ names: new Set(), networks: [] }, "ALLOWED"));
export const TOKEN = "a-token-for-tests";
export const SILENT = createLogger("test", "silent");
export const SCRIPTED_BRAIN = fileURLToPath(new URL("fixtures/scripted-brain.ts", import.meta.url));
export const AUTHORIZED = { authorization: `Bearer ${TOKEN}` };

const SEED_API: SeedApiSettings = {
  compat: false,
  openNetworks: undefined,
  provider: "anthropic",
  model: "",
  saturationMs: 30_000,
  retryAfterS: 5,
};

/** A leaf store in a directory of its own; `url` is how another process opens it. */
export async function newStore(): Promise<{ store: LeafStore; url: string; directory: string }> {
  const directory = await storeDirectory();
  const url = `sqlite:${join(directory, "leaf.db")}`;
  const store = await openLeafStore(url);
  onTestFinished(() => store.close());
  return { store, url, directory };
}

/** The dispatcher's routes on a real port, in this process. */
export async function openDoor(
  options: {
    store?: LeafStore;
    waker?: Waker;
    mostSchedules?: number;
    token?: string | null;
    brainToken?: string;
    sandbox?: string;
    hands?: Sandbox;
    sandboxPublicKey?: string;
    pool?: Pool;
    keepAliveMs?: number;
    saturationMs?: number;
    seedApi?: Partial<SeedApiSettings>;
    signer?: JwtSigner;
    issuers?: readonly TrustedIssuer[];
    volume?: Volume;
    webhooks?: Webhooks;
    audit?: Audit;
    limits?: (store: LeafStore) => Limits;
  } = {},
) {
  const store = options.store ?? (await newStore()).store;
  const drain = new Drain();
  const token = options.token === null ? undefined : (options.token ?? TOKEN);
  const audit = options.audit ?? NO_AUDIT;
  const tokens = new IssuedTokens(store, options.signer, audit);
  const auth = new Authenticator({
    brainToken: options.brainToken,
    operatorToken: token,
    takesEverybody: token === undefined,
    tokens: options.issuers && new SignedTokens(options.issuers, (tokenId) => tokens.isRevoked(tokenId)),
  });
  const health = new HealthState([LeafService.typeName]);
  const poolState = options.pool && new PoolState(store);
  const sandboxProbe = poolState ?? new SandboxProbe(options.sandbox, SILENT);
  const keepAliveMs = options.keepAliveMs ?? 15_000;
  const seedApi = { ...SEED_API, ...options.seedApi };
  const waker = options.waker ?? new OutsideWaker({ kind: "none", store, log: SILENT });
  const webhooks = options.webhooks ?? NO_WEBHOOKS;
  const limits = options.limits?.(store) ?? defaultLimits(store, options.mostSchedules);
  const leaves = new Leaves({ store, waker, drain, webhooks, volume: options.volume, audit, limits });
  // Nothing fires unless a test has it look.
  const driver = new ScheduleDriver(store, leaves, SILENT);
  const schedules = new Schedules({ store, leaves, driver, audit, limits });
  const saturationMs = options.saturationMs ?? 30_000;
  const shared = { keepAliveMs, saturationMs, seedApi, volume: options.volume, webhooks, store, waker, schedules };
  const deps = {
    ...shared,
    sandbox: options.hands,
    sandboxPublicKey: options.sandboxPublicKey,
    pool: options.pool,
    poolState,
    sandboxProbe,
    auth,
    tokens,
    audit,
    limits,
    drain,
    health,
    log: SILENT,
  };
  const { server, client } = await startServer(routes(deps));
  const rpcs = { leaves: createClient(LeafService, client(token)), schedules: createClient(ScheduleService, client(token)) };
  return { store, drain, health, server, driver, origin: originOf(server), ...rpcs, transport: client };
}

/** What goes without a file of limits. */
export function defaultLimits(store: LeafStore, schedules = 100): Limits {
  return new Limits({ store, path: undefined, defaults: defaultTable({ schedules, schedule_interval_s: 1 }), log: SILENT });
}

/** A pool that nobody asks. */
export function idlePool(store: LeafStore): Pool {
  const access = { tls: undefined, credential: { kind: "none" } } as const;
  return new Pool({ store, config: { askMs: 1000, aliveMs: 3000, capacity: 0, access }, sources: [], log: SILENT });
}

export function originOf(server: Server): string {
  if (server.address.kind !== "tcp") throw new Error("not on TCP");
  return `http://${server.address.host}:${server.address.port}`;
}

/** A valid new leaf for the store itself. */
export function newLeaf(init: MessageInitShape<typeof LeafSpecSchema> = {}) {
  return { spec: create(LeafSpecSchema, { tenant: "default", kind: 1, prompt: "say hello", ...init }), idempotencyKey: "" };
}

export function workerNamed(name: string): Worker {
  return create(WorkerSchema, { name, pid: BigInt(process.pid), startedAtMs: BigInt(Date.now()) });
}

/** Claim what the test knows to be ready. */
export async function claimed(store: LeafStore, worker = workerNamed("test-brain"), leaseMs = 60_000): Promise<Claim> {
  const claim = await store.claim(worker, leaseMs);
  if (claim === undefined) throw new Error("nothing was ready");
  return claim;
}

/** Claim the next ready leaf and finish it with a text, behind `pieces` of an answer. */
export async function finishNext(store: LeafStore, text: string, pieces: readonly string[] = []): Promise<string> {
  const claim = await claimed(store);
  await store.append(claim, pieces.map(textDelta));
  await store.finish(claim, { state: LeafState.DONE, result: create(LeafResultSchema, { text }) }, []);
  return claim.leaf.leafId;
}

export function textDelta(text: string) {
  return { event: { case: "textDelta" as const, value: { $typeName: "harness.leaf.v1.TextDelta" as const, text, thinking: false } } };
}

/** Wait until a leaf is in a state, told by the store's own events. */
export async function untilState(store: LeafStore, leafId: string, state: LeafState, count = 1): Promise<void> {
  let seen = 0;
  for await (const { event } of store.follow(leafId, 0n, new AbortController().signal)) {
    if (event.case === "stateChanged" && event.value.state === state && ++seen === count) return;
  }
  throw new Error(`the leaf ended without ${LeafStateSchema.value[state]?.name} x ${count}`);
}

/** Everything that happened to a leaf, to its end. */
export async function allEvents(stream: AsyncIterable<{ event?: LeafEvent | undefined }>): Promise<LeafEvent[]> {
  const events: LeafEvent[] = [];
  for await (const { event } of stream) if (event !== undefined) events.push(event);
  return events;
}

/** The states that a leaf went through. */
export async function statesOf(store: LeafStore, leaf: Pick<Leaf, "leafId">): Promise<LeafState[]> {
  const events = await store.events(leaf.leafId, 0n, 1000);
  return events.flatMap(({ event }) => (event.case === "stateChanged" ? [event.value.state] : []));
}

/** The error that a call ends with. */
export async function refusal(call: Promise<unknown>): Promise<HarnessError> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => fromConnectError(error),
  );
  if (outcome === undefined) throw new Error("the call was not refused");
  return outcome;
}

/** Counts what is read from a store's followers, and how many are open. */
export class FollowMeter {
  readonly store: LeafStore;
  open = 0;
  pulled = 0;
  #onIdle: Array<() => void> = [];

  constructor(inner: LeafStore) {
    const follow: LeafStore["follow"] = (leafId, afterSeq, signal) => this.#count(inner.follow(leafId, afterSeq, signal));
    this.store = new Proxy(inner, {
      get: (target, name) => {
        const value: unknown = name === "follow" ? follow : Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Resolves when no follower is open. */
  idle(): Promise<void> {
    return this.open === 0 ? Promise.resolve() : new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async *#count(events: AsyncIterable<LeafEvent>): AsyncGenerator<LeafEvent> {
    this.open += 1;
    try {
      for await (const event of events) {
        this.pulled += 1;
        yield event;
      }
    } finally {
      this.open -= 1;
      if (this.open === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
    }
  }
}
