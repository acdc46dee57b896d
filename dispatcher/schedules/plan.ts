import { clone, create } from "@bufbuild/protobuf";
import {
  FireOutcome,
  type LeafSpec,
  LeafSpecSchema,
  MissedFires,
  OverlappingFires,
  type Schedule,
  ScheduleFireSchema,
  ScheduleSchema,
} from "@serverless-harness/proto/leaf";
import { FireIntentSchema, type ScheduleRecord, ScheduleRecordSchema } from "@serverless-harness/proto/store";
import { Cadence } from "./cadence.ts";
import { fireIdAt, jitterOf } from "./fire-id.ts";

/** Fires that wait for the leaf of an earlier one, at the most. */
export const MAX_WAITING = 16;
/** Fires that a schedule shows. */
const KEPT_FIRES = 20;
/** When to look again whether the leaf that a fire waits for is over, in case nobody heard of its end. */
const LOOK_AGAIN_MS = 30_000;
/** A clock that is corrected by less was not set. */
const CLOCK_TOLERANCE_MS = 1000;

/*
 * How a schedule goes on. Each function takes a record and the store's time, and returns the record as it shall stand then; nothing is read or written,
 * so every step can be tried at any time. Whoever writes its result first has taken the step.
 */

/** A record of a schedule that is new. */
export function newRecord(schedule: Schedule, nowMs: number): ScheduleRecord {
  return planned(create(ScheduleRecordSchema, { schedule }), nowMs, nowMs);
}

/** The schedule of a record. */
export function scheduleIn(record: ScheduleRecord): Schedule {
  if (record.schedule === undefined) throw new Error("a record of the store holds no schedule");
  return record.schedule;
}

/** Fires may not overlap, so whoever decides on one has to know whether a leaf of an earlier one is not over. */
export function asksForOverlap({ overlap }: Schedule): boolean {
  return overlap === OverlappingFires.SKIP || overlap === OverlappingFires.QUEUE;
}

/** What is next: at most one fire is decided on. `busy`: {@link asksForOverlap}, and a leaf of an earlier fire is not over. */
export function decided(before: ScheduleRecord, nowMs: number, busy: boolean): ScheduleRecord {
  const record = clone(ScheduleRecordSchema, before);
  const schedule = scheduleIn(record);
  if (record.submitting !== undefined || schedule.paused) return settled(record, nowMs);
  const [waiting] = schedule.waitingFireMs;
  if (waiting !== undefined && !busy) {
    schedule.waitingFireMs.shift();
    record.submitting = create(FireIntentSchema, { fireMs: waiting });
    return settled(record, nowMs);
  }
  const fireMs = Number(schedule.nextFireMs);
  if (fireMs === 0) return settled(record, nowMs);
  if (isMissed(record, nowMs)) return settled(withoutMissed(record, nowMs), nowMs);
  if (fireMs + jitterOf(schedule, fireMs) > nowMs) return settled(record, nowMs);
  record.decidedMs = schedule.nextFireMs;
  if (busy && schedule.overlap === OverlappingFires.SKIP) {
    note(record, fireMs, nowMs, { outcome: FireOutcome.SKIPPED, reason: "overlap", message: "the leaf of an earlier fire was not over" });
  } else if (waiting === undefined && !busy) {
    record.submitting = create(FireIntentSchema, { fireMs: schedule.nextFireMs });
  } else if (schedule.waitingFireMs.length < MAX_WAITING) {
    schedule.waitingFireMs.push(schedule.nextFireMs);
  } else {
    note(record, fireMs, nowMs, { outcome: FireOutcome.SKIPPED, reason: "queue_full", message: `${MAX_WAITING} fires waited already` });
  }
  return planned(record, fireMs, nowMs);
}

/** What the fire that is being made submits, before its id is put in. */
export function specOfIntent(record: ScheduleRecord): LeafSpec {
  return record.submitting?.spec ?? scheduleIn(record).spec ?? create(LeafSpecSchema);
}

/** The fire that is being made has its leaf. */
export function submitted(before: ScheduleRecord, leafId: string, nowMs: number): ScheduleRecord {
  const record = clone(ScheduleRecordSchema, before);
  const schedule = scheduleIn(record);
  const fireMs = record.submitting?.fireMs ?? 0n;
  delete record.submitting;
  note(record, Number(fireMs), nowMs, { outcome: FireOutcome.SUBMITTED, leafId });
  schedule.lastFireMs = fireMs;
  schedule.lastLeafId = leafId;
  schedule.fires += 1n;
  return settled(record, nowMs);
}

/** The leaf of the fire that is being made was refused. */
export function refused(before: ScheduleRecord, reason: string, message: string, nowMs: number): ScheduleRecord {
  const record = clone(ScheduleRecordSchema, before);
  const fireMs = Number(record.submitting?.fireMs ?? 0n);
  delete record.submitting;
  note(record, fireMs, nowMs, { outcome: FireOutcome.REFUSED, reason, message });
  // It was counted among those that `max_fires` allows, and is not any more.
  return scheduleIn(record).nextFireMs === 0n ? planned(record, Number(record.decidedMs), nowMs) : settled(record, nowMs);
}

/** Somebody had its leaf submitted, out of turn. */
export function ran(before: ScheduleRecord, fireId: string, leafId: string, nowMs: number): ScheduleRecord {
  const record = clone(ScheduleRecordSchema, before);
  note(record, nowMs, nowMs, { fireId, outcome: FireOutcome.SUBMITTED, leafId });
  return settled(record, nowMs);
}

/** It says something else from now on. */
export function changed(before: ScheduleRecord, to: Schedule, nowMs: number): ScheduleRecord {
  const record = clone(ScheduleRecordSchema, before);
  const from = scheduleIn(record);
  // What was decided on is made as it was meant then: its leaf may be there already.
  if (record.submitting !== undefined && from.spec !== undefined) record.submitting.spec ??= from.spec;
  const { paused, nextFireMs, createdAtMs, lastFireMs, lastLeafId, fires, recentFires, waitingFireMs } = from;
  const kept = { paused, nextFireMs, createdAtMs, lastFireMs, lastLeafId, fires, recentFires, waitingFireMs };
  record.schedule = create(ScheduleSchema, { ...to, ...kept });
  const sameTimes = from.cron === to.cron && from.timeZone === to.timeZone && from.startMs === to.startMs && from.endMs === to.endMs;
  return edited(sameTimes && from.maxFires === to.maxFires ? settled(record, nowMs) : plannedFromNow(record, nowMs), before, nowMs);
}

/** It makes no fires, or goes on with the first one after now. */
export function paused(before: ScheduleRecord, pause: boolean, nowMs: number): ScheduleRecord {
  const record = clone(ScheduleRecordSchema, before);
  scheduleIn(record).paused = pause;
  return edited(plannedFromNow(record, nowMs), before, nowMs);
}

/** The clock was set back since its next fire was worked out. */
export function isAhead(record: ScheduleRecord, nowMs: number): boolean {
  return Number(record.plannedAtMs) > nowMs + CLOCK_TOLERANCE_MS;
}

/** Its next fire, worked out again: what was left out as missed, by a clock that was ahead, comes in its time, and what was made is not made again. */
export function replanned(before: ScheduleRecord, nowMs: number): ScheduleRecord {
  return plannedFromNow(clone(ScheduleRecordSchema, before), nowMs);
}

/** The next fires, without jitter, at most `count`. */
export function upcoming(record: ScheduleRecord, count: number): number[] {
  const schedule = scheduleIn(record);
  const first = Number(schedule.nextFireMs);
  const left = schedule.maxFires === 0n ? count : Math.min(count, Number(schedule.maxFires) - underWay(record));
  return first === 0 || left < 1 ? [] : [first, ...cadenceOf(schedule).next(left - 1, first)];
}

function edited(record: ScheduleRecord, before: ScheduleRecord, nowMs: number): ScheduleRecord {
  const schedule = scheduleIn(record);
  schedule.revision = scheduleIn(before).revision + 1n;
  schedule.updatedAtMs = BigInt(nowMs);
  return record;
}

function cadenceOf({ cron, timeZone, startMs, endMs }: Schedule): Cadence {
  return new Cadence(cron, timeZone, { startMs: Number(startMs), endMs: Number(endMs) });
}

/** From when on a fire counts as missed: later than its time and the longest jitter allow. */
function missedBefore({ missedAfterMs, jitterMs }: Schedule, nowMs: number): number {
  return nowMs - Number(missedAfterMs + jitterMs);
}

function isMissed(record: ScheduleRecord, nowMs: number): boolean {
  const { nextFireMs } = scheduleIn(record);
  return nextFireMs > record.catchUpMs && Number(nextFireMs) < missedBefore(scheduleIn(record), nowMs);
}

/** Set to the first fire that is made, of those that were missed or behind them. However many were missed: none of them is counted. */
function withoutMissed(record: ScheduleRecord, nowMs: number): ScheduleRecord {
  const schedule = scheduleIn(record);
  const fireMs = Number(schedule.nextFireMs);
  const end = missedBefore(schedule, nowMs);
  const caught = caughtUp(schedule) === 0 ? [] : cadenceOf(schedule).before(end, fireMs, caughtUp(schedule));
  if (caught[0] !== fireMs) {
    const message = "nothing was there that could make it in time";
    note(record, fireMs, nowMs, { outcome: FireOutcome.MISSED, reason: "missed", message });
  }
  record.catchUpMs = BigInt(caught.at(-1) ?? 0);
  return planned(record, (caught[0] ?? end) - 1, nowMs);
}

function caughtUp({ missed, maxMissed }: Schedule): number {
  if (missed === MissedFires.CATCH_UP) return 1;
  return missed === MissedFires.ALL ? maxMissed : 0;
}

/** The next fire is the first one after now that was not decided on. */
function plannedFromNow(record: ScheduleRecord, nowMs: number): ScheduleRecord {
  return planned(record, Math.max(nowMs, Number(record.decidedMs)), nowMs);
}

/** The next fire is the first one after `afterMs`, if it still makes one. */
function planned(record: ScheduleRecord, afterMs: number, nowMs: number): ScheduleRecord {
  const schedule = scheduleIn(record);
  const makesMore = !schedule.paused && (schedule.maxFires === 0n || underWay(record) < schedule.maxFires);
  schedule.nextFireMs = BigInt((makesMore ? cadenceOf(schedule).after(afterMs) : undefined) ?? 0);
  record.plannedAtMs = BigInt(nowMs);
  return settled(record, nowMs);
}

/** Fires that submitted a leaf, or will. */
function underWay({ schedule, submitting }: ScheduleRecord): number {
  return Number(schedule?.fires ?? 0n) + (schedule?.waitingFireMs.length ?? 0) + (submitting === undefined ? 0 : 1);
}

/** Due when there is something to do next. */
function settled(record: ScheduleRecord, nowMs: number): ScheduleRecord {
  record.dueMs = BigInt(dueOf(record, nowMs));
  return record;
}

function dueOf(record: ScheduleRecord, nowMs: number): number {
  const schedule = scheduleIn(record);
  if (record.submitting !== undefined) return nowMs;
  if (schedule.paused) return 0;
  const fireMs = Number(schedule.nextFireMs);
  const times = [
    ...(schedule.waitingFireMs.length > 0 ? [nowMs + LOOK_AGAIN_MS] : []),
    ...(fireMs > 0 ? [fireMs + jitterOf(schedule, fireMs)] : []),
  ];
  return times.length === 0 ? 0 : Math.min(...times);
}

interface Note {
  readonly outcome: FireOutcome;
  readonly fireId?: string;
  readonly leafId?: string;
  readonly reason?: string;
  readonly message?: string;
}

function note(record: ScheduleRecord, fireMs: number, nowMs: number, what: Note): void {
  const schedule = scheduleIn(record);
  const fireId = what.fireId ?? fireIdAt(schedule.scheduleId, fireMs);
  const fire = create(ScheduleFireSchema, { ...what, fireId, fireMs: BigInt(fireMs), atMs: BigInt(nowMs) });
  schedule.recentFires = [fire, ...schedule.recentFires].slice(0, KEPT_FIRES);
}
