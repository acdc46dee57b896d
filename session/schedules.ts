import type { Leaf, LeafSpec, Schedule } from "@serverless-harness/proto/leaf";

/** A fire of a schedule that is due. */
export interface Fire {
  /** The schedule as it was read; its `nextFireMs` is the fire's time and names it. */
  readonly schedule: Schedule;
  /** What it submits; `undefined`: it is left out. */
  readonly spec: LeafSpec | undefined;
  /** The time of the fire behind it, by the schedule's expression. 0: none is left. */
  readonly nextFireMs: number;
}

/** Schedules, by tenant and id. When an expression's next fire is, the caller works out; the store sees to it that each is made once. */
export interface Schedules {
  /**
   * Write a schedule. The same one again returns what is there, with `created` false; another one of the same id is ALREADY_EXISTS
   * `schedule_exists`. What the store keeps itself (creation time, last fire, count) is ignored in `schedule`.
   */
  createSchedule(schedule: Schedule): Promise<{ schedule: Schedule; created: boolean }>;
  /** A schedule, or `undefined`. */
  schedule(tenant: string, scheduleId: string): Promise<Schedule | undefined>;
  /** Schedules by tenant and id; all tenants' where `tenant` is undefined. `limit` 1 to 1000. */
  listSchedules(tenant: string | undefined, limit: number, pageToken?: string): Promise<{ schedules: Schedule[]; nextPageToken?: string }>;
  /** Stop its fires, or let them go on with the one at `nextFireMs`. NOT_FOUND `schedule_not_found`. */
  pauseSchedule(tenant: string, scheduleId: string, paused: boolean, nextFireMs: number): Promise<Schedule>;
  /** Forget a schedule; its leaves stay. False where there is none. */
  deleteSchedule(tenant: string, scheduleId: string): Promise<boolean>;
  /** Schedules whose next fire is due, the longest due first, at most `limit`; and when the next one is, milliseconds since the Unix epoch. */
  dueSchedules(limit: number): Promise<{ due: Schedule[]; nextDueMs?: number }>;
  /**
   * Make a fire, or leave it out (`spec` undefined), and set the schedule to the next one. Each happens once, whoever crashes where: `undefined`
   * where this one was made already, or the schedule was paused, deleted or set to another time.
   */
  fire(fire: Fire): Promise<{ leaf?: Leaf } | undefined>;
}
