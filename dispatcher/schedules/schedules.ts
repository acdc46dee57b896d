import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import { type Leaf, LeafSpecSchema, type Schedule, ScheduleSchema } from "@serverless-harness/proto/leaf";
import type { ScheduleRecord } from "@serverless-harness/proto/store";
import type { LeafStore } from "@serverless-harness/session";
import type { Action, Audit } from "../audit/audit.ts";
import { type Caller, requireScope, tenantFor } from "../callers/caller.ts";
import { requireSource } from "../fork.ts";
import type { Leaves } from "../leaves.ts";
import type { Limits } from "../limits/limits.ts";
import { checkDefinition, checkScheduleId, requireInterval } from "./definition.ts";
import { type ScheduleDriver, submitterFor } from "./driver.ts";
import { fireIdOfRun, keyOfRun, specOfFire } from "./fire-id.ts";
import { changed, newRecord, paused, ran, scheduleIn, upcoming } from "./plan.ts";

/** Next fires that a schedule shows. */
const UPCOMING = 5;
const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 200;
const MAX_RUN_ID = 64;

/** Which schedule a call is about, and which revision of it; 0: whichever. */
export interface ScheduleName {
  readonly tenant: string;
  readonly scheduleId: string;
  readonly revision?: bigint;
}

/** What the service stands on. */
export interface SchedulesOptions {
  readonly store: LeafStore;
  readonly leaves: Pick<Leaves, "submit">;
  readonly driver: Pick<ScheduleDriver, "poke">;
  readonly audit: Audit;
  /** How many schedules a tenant may have, and how often they may fire. */
  readonly limits: Pick<Limits, "ofTenant">;
}

/** Everything that a client can do with schedules. Each method looks at what the caller's token is for; another tenant's schedule is not there. */
export class Schedules {
  readonly #store: LeafStore;
  readonly #leaves: Pick<Leaves, "submit">;
  readonly #driver: Pick<ScheduleDriver, "poke">;
  readonly #limits: Pick<Limits, "ofTenant">;
  readonly #audit: Audit;

  constructor({ store, leaves, driver, limits, audit }: SchedulesOptions) {
    this.#audit = audit;
    this.#store = store;
    this.#leaves = leaves;
    this.#driver = driver;
    this.#limits = limits;
  }

  /** Make a schedule, or find the same. */
  async create(caller: Caller, given: Schedule | undefined): Promise<{ schedule: Schedule; created: boolean }> {
    requireScope(caller, "schedules:write");
    const nowMs = await this.#store.nowMs();
    const schedule = await checkDefinition(given, nowMs, (tenant) => tenantFor(caller, "schedule.tenant", tenant));
    requireInterval(schedule, nowMs, this.#limits.ofTenant(schedule.tenant).schedule_interval_s);
    await requireSource(this.#store, schedule.spec ?? create(LeafSpecSchema));
    const first = create(ScheduleSchema, { ...schedule, revision: 1n, updatedAtMs: BigInt(nowMs) });
    const { record, created } = await this.#audit.act(
      caller,
      { action: "schedule.create", tenant: schedule.tenant, schedule_id: schedule.scheduleId },
      () => this.#store.createSchedule(newRecord(first, nowMs), this.#limits.ofTenant(schedule.tenant).schedules),
      (made) => ({ created: made.created }),
    );
    this.#driver.poke();
    return { schedule: shown(record), created };
  }

  /** A schedule. NOT_FOUND where there is none. */
  async get(caller: Caller, name: ScheduleName): Promise<Schedule> {
    requireScope(caller, "schedules:read");
    return shown(await this.#read(caller, name));
  }

  /** A page of a tenant's schedules, without what makes it too large: Get has that. */
  async list(
    caller: Caller,
    tenant: string,
    pageSize: number,
    pageToken: string,
  ): Promise<{ schedules: Schedule[]; nextPageToken: string }> {
    requireScope(caller, "schedules:read");
    const v = new Validation();
    if (tenant !== "") v.name("tenant", tenant);
    v.check("page_size", pageSize >= 0 && pageSize <= MAX_PAGE_SIZE, `must be 1 to ${MAX_PAGE_SIZE}, or 0 for the default`);
    v.done();
    const page = await this.#store.listSchedules(tenantFor(caller, "tenant", tenant), pageSize || DEFAULT_PAGE_SIZE, pageToken);
    return { schedules: page.schedules.map(listed), nextPageToken: page.nextPageToken ?? "" };
  }

  /** Replace what a caller may say of a schedule. */
  async update(caller: Caller, given: Schedule | undefined): Promise<Schedule> {
    requireScope(caller, "schedules:write");
    const nowMs = await this.#store.nowMs();
    const to = await checkDefinition(given, nowMs, (tenant) => tenantFor(caller, "schedule.tenant", tenant));
    requireInterval(to, nowMs, this.#limits.ofTenant(to.tenant).schedule_interval_s);
    const { revision } = given ?? to;
    if (revision === 0n) throw invalidArgument([{ field: "schedule.revision", description: "must be set: GetSchedule returns it" }]);
    return await this.#act(caller, "schedule.update", to, () =>
      this.#change(caller, { ...to, revision }, (record, now) => changed(record, to, now)),
    );
  }

  /** Stop its fires, or let them go on. */
  async pause(caller: Caller, name: ScheduleName, pause: boolean): Promise<Schedule> {
    requireScope(caller, "schedules:write");
    return await this.#act(caller, pause ? "schedule.pause" : "schedule.resume", name, () =>
      this.#change(caller, name, (record, now) => (scheduleIn(record).paused === pause ? undefined : paused(record, pause, now))),
    );
  }

  /** Forget a schedule. */
  async delete(caller: Caller, name: ScheduleName): Promise<void> {
    requireScope(caller, "schedules:write");
    const read = await this.#read(caller, name);
    await this.#act(caller, "schedule.delete", scheduleIn(read), async () => {
      let record: ScheduleRecord | undefined = read;
      while (record !== undefined) {
        requireRevision(record, name);
        if (await this.#store.deleteSchedule(record)) return;
        record = await this.#store.schedule(scheduleIn(read).tenant, scheduleIn(read).scheduleId);
      }
    });
  }

  /** Submit its leaf now. */
  async run(caller: Caller, name: ScheduleName, runId: string): Promise<{ leaf: Leaf; created: boolean; fireId: string }> {
    requireScope(caller, "schedules:write");
    const record = await this.#read(caller, name, (v) => {
      if (runId === "") return;
      v.name("run_id", runId);
      v.check("run_id", runId.length <= MAX_RUN_ID, `must be at most ${MAX_RUN_ID} characters`);
    });
    const { tenant, scheduleId, spec } = scheduleIn(record);
    const id = runId || randomUUID();
    const fireId = fireIdOfRun(scheduleId, id);
    const filled = specOfFire(spec ?? create(LeafSpecSchema, { tenant }), fireId);
    const { leaf, created } = await this.#act(caller, "schedule.run", { tenant, scheduleId }, () =>
      this.#leaves.submit(submitterFor(tenant), filled, keyOfRun(scheduleId, id)),
    );
    await this.#change(caller, { tenant, scheduleId }, (standing, now) =>
      scheduleIn(standing).recentFires.some((fire) => fire.fireId === fireId) ? undefined : ran(standing, fireId, leaf.leafId, now),
    );
    return { leaf, created, fireId };
  }

  #act<T>(caller: Caller, action: Action, { tenant, scheduleId }: ScheduleName, work: () => Promise<T>): Promise<T> {
    return this.#audit.act(caller, { action, tenant: tenant || undefined, schedule_id: scheduleId }, work);
  }

  /** Write what `work` makes of the record; `undefined` from it: it is so already. Somebody else's write between both is read first. */
  async #change(
    caller: Caller,
    name: ScheduleName,
    work: (record: ScheduleRecord, nowMs: number) => ScheduleRecord | undefined,
  ): Promise<Schedule> {
    for (;;) {
      const record = await this.#read(caller, name);
      requireRevision(record, name);
      const next = work(record, await this.#store.nowMs());
      const written = next === undefined ? record : await this.#store.replaceSchedule(next);
      if (written === undefined) continue;
      this.#driver.poke();
      return shown(written);
    }
  }

  async #read(
    caller: Caller,
    { tenant, scheduleId, revision = 0n }: ScheduleName,
    more: (v: Validation) => void = () => undefined,
  ): Promise<ScheduleRecord> {
    const v = new Validation();
    if (tenant !== "") v.name("tenant", tenant);
    checkScheduleId(v, "schedule_id", scheduleId);
    v.check("revision", revision >= 0n, "must be a revision that was read, or 0 for whichever stands");
    more(v);
    v.done();
    const record = await this.#store.schedule(tenantFor(caller, "tenant", tenant), scheduleId);
    if (record !== undefined) return record;
    throw new HarnessError(Code.NotFound, "schedule_not_found", "the tenant has no schedule of this id: check it");
  }
}

/** As clients see it, with its next fires. */
function shown(record: ScheduleRecord): Schedule {
  return create(ScheduleSchema, { ...scheduleIn(record), upcomingMs: upcoming(record, UPCOMING).map(BigInt) });
}

function listed(record: ScheduleRecord): Schedule {
  const { spec, ...rest } = scheduleIn(record);
  return create(ScheduleSchema, { ...rest, recentFires: [], ...(spec === undefined ? {} : { spec: { ...spec, images: [] } }) });
}

function requireRevision(record: ScheduleRecord, { revision = 0n }: ScheduleName): void {
  const standing = scheduleIn(record).revision;
  if (revision === 0n || revision === standing) return;
  const text = `it was changed since revision ${revision} was read, and is at ${standing}: read it again, then repeat the change`;
  throw new HarnessError(Code.Aborted, "schedule_changed", text, { metadata: { revision: String(standing) } });
}
