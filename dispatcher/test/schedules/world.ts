import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { storeDirectory } from "@serverless-harness/kit/testing";
import {
  type Leaf,
  LeafKind,
  LeafResultSchema,
  LeafSpecSchema,
  LeafState,
  type Schedule,
  ScheduleSchema,
} from "@serverless-harness/proto/leaf";
import type { Claim, LeafStore } from "@serverless-harness/session";
import { redisServer } from "@serverless-harness/session/testing/redis-vitest";
import { onTestFinished } from "vitest";
import { NO_AUDIT } from "../../audit/audit.ts";
import { OPERATOR } from "../../callers/caller.ts";
import { Drain } from "../../drain.ts";
import { Leaves } from "../../leaves.ts";
import { ScheduleDriver } from "../../schedules/driver.ts";
import { Schedules } from "../../schedules/schedules.ts";
import { OutsideWaker } from "../../waker/outside.ts";
import { claimed, defaultLimits, NO_WEBHOOKS, SILENT } from "../support.ts";
import { openStore } from "./store.ts";

/** Where both kinds of store are, a fresh one with each call; to be used at the top of a file. */
export function storeUrls(): Readonly<Record<"SQLite" | "Redis", () => Promise<string>>> {
  const redis = redisServer();
  return { SQLite: async () => `sqlite:${join(await storeDirectory(), "leaf.db")}`, Redis: async () => redis().freshUrl() };
}

/** A schedule of the tenant acme. */
export function scheduleOf(
  fields: Partial<Omit<Schedule, "$typeName" | "$unknown" | "spec">> = {},
  spec: MessageInitShape<typeof LeafSpecSchema> = {},
): Schedule {
  return create(ScheduleSchema, {
    tenant: "acme",
    scheduleId: "s",
    cron: "0 * * * *",
    ...fields,
    spec: create(LeafSpecSchema, { ...create(LeafSpecSchema, spec), kind: LeafKind.TURN, prompt: spec.prompt ?? "at __FIRE__" }),
  });
}

/** Dispatchers on one store, and the clock that they share. */
export class World {
  nowMs: number;
  readonly url: string;
  readonly stores: LeafStore[] = [];
  readonly drivers: ScheduleDriver[] = [];
  readonly services: Schedules[] = [];

  /** `at`: the time to begin with, in ISO 8601. */
  static async open(url: string, at: string, dispatchers = 2): Promise<World> {
    const world = new World(url, Date.parse(at));
    for (let i = 0; i < dispatchers; i += 1) await world.join();
    return world;
  }

  private constructor(url: string, nowMs: number) {
    this.url = url;
    this.nowMs = nowMs;
  }

  get store(): LeafStore {
    return first(this.stores);
  }

  get schedules(): Schedules {
    return first(this.services);
  }

  /** One dispatcher more. */
  async join(wrap: (store: LeafStore) => LeafStore = (store) => store): Promise<ScheduleDriver> {
    const store = await openStore(this.url, () => this.nowMs);
    onTestFinished(() => store.close());
    const seen = wrap(store);
    const leaves = new Leaves({
      store: seen,
      waker: new OutsideWaker({ kind: "none", store: seen, log: SILENT }),
      drain: new Drain(),
      webhooks: NO_WEBHOOKS,
      volume: undefined,
      audit: NO_AUDIT,
      limits: defaultLimits(seen),
    });
    const driver = new ScheduleDriver(seen, leaves, SILENT);
    onTestFinished(() => driver.stop());
    this.stores.push(store);
    this.drivers.push(driver);
    this.services.push(new Schedules({ store: seen, leaves, driver, audit: NO_AUDIT, limits: defaultLimits(seen) }));
    return driver;
  }

  /** Set the clock, and have every dispatcher do what is due, all at once, until nothing is. */
  async at(time: string | number): Promise<void> {
    this.nowMs = typeof time === "number" ? time : Date.parse(time);
    for (let waits = [0]; waits.includes(0); ) waits = await Promise.all(this.drivers.map((driver) => driver.look()));
  }

  async schedule(scheduleId = "s"): Promise<Schedule> {
    return await this.schedules.get(OPERATOR, { tenant: "acme", scheduleId });
  }

  /** Make a schedule. */
  async create(schedule: Schedule): Promise<Schedule> {
    return (await this.schedules.create(OPERATOR, schedule)).schedule;
  }

  /** What became of its fires, the earliest first: the id's time, and the reason or `submitted`. */
  async fires(scheduleId = "s"): Promise<string[]> {
    const { recentFires } = await this.schedule(scheduleId);
    return recentFires.map(({ fireId, reason }) => `${fireId.slice(scheduleId.length + 1)} ${reason || "submitted"}`).reverse();
  }

  /** The prompts of all leaves, in the order of their submission where the clock went on in between. */
  async prompts(): Promise<string[]> {
    return (await this.leaves()).map(({ spec }) => spec?.prompt ?? "").reverse();
  }

  async leaves(): Promise<Leaf[]> {
    return (await this.store.list({ limit: 1000 })).leaves;
  }

  /** End so many leaves that are not over, and none that is submitted meanwhile. */
  async finishLeaves(count: number): Promise<void> {
    const claims: Claim[] = [];
    while (claims.length < count) claims.push(await claimed(this.store));
    for (const claim of claims) await this.store.finish(claim, { state: LeafState.DONE, result: create(LeafResultSchema) }, []);
  }
}

function first<T>(all: readonly T[]): T {
  const [one] = all;
  if (one === undefined) throw new Error("no dispatcher has joined");
  return one;
}
