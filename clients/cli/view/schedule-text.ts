import { FireOutcome, MissedFires, OverlappingFires, type Schedule, type ScheduleFire } from "@serverless-harness/proto/leaf";
import type { Colors } from "../output.ts";
import { counted, duration, fieldsText, isoTime } from "./format.ts";
import { nameOf } from "./leaf-text.ts";
import { wishText } from "./sandbox-text.ts";

const LOCAL_ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A time as the clocks of a zone show it, as date and time; in UTC if this machine does not know the zone. */
export function timeIn(zone: string, timeMs: number | bigint): string {
  try {
    return new Intl.DateTimeFormat("sv-SE", { timeZone: zone || "UTC", dateStyle: "short", timeStyle: "medium" }).format(Number(timeMs));
  } catch {
    return isoTime(timeMs);
  }
}

/** When a schedule fires next, for one cell. */
export function nextFire({ paused, nextFireMs, timeZone }: Schedule, color: Colors): string {
  if (paused) return color.yellow("paused");
  return nextFireMs === 0n ? color.dim("none") : timeIn(timeZone, nextFireMs);
}

/** A schedule for a human: a line for each thing that is known. `hereZone`: the reader's own. */
export function scheduleText(schedule: Schedule, color: Colors, nowMs = Date.now(), hereZone = LOCAL_ZONE): string {
  const { spec, overlap, missed, jitterMs, startMs, endMs, maxFires, timeZone } = schedule;
  const bounds = [
    ...(startMs > 0n ? [`from ${timeIn(timeZone, startMs)}`] : []),
    ...(endMs > 0n ? [`until ${timeIn(timeZone, endMs)}`] : []),
    ...(maxFires > 0n ? [`at most ${counted(Number(maxFires), "fire")}`] : []),
  ];
  const next = schedule.upcomingMs.map((time) => upcomingText(Number(time), timeZone, nowMs, hereZone));
  return fieldsText(
    [
      ["schedule", schedule.scheduleId],
      ["cron", `${schedule.cron}  ${timeZone}`],
      ["bounds", bounds.join(", ")],
      ["jitter", jitterMs > 0n ? `up to ${duration(Number(jitterMs))}` : ""],
      ["overlap", nameOf(OverlappingFires, overlap)],
      ["missed", missed === MissedFires.CATCH_UP ? "last" : nameOf(MissedFires, missed)],
      ["state", schedule.paused ? color.yellow("paused") : next.length === 0 ? color.dim("makes no more fires") : color.green("active")],
      ["next", next.join("\n")],
      ["waiting", schedule.waitingFireMs.map((time) => timeIn(timeZone, time)).join("\n")],
      ["fires", String(schedule.fires)],
      ["last", schedule.recentFires.map((fire) => fireText(fire, color)).join("\n")],
      ["sandbox", wishText(spec?.sandbox)],
      ["prompt", (spec?.prompt ?? "").trim()],
      ["revision", String(schedule.revision)],
    ],
    color,
  );
}

function upcomingText(timeMs: number, zone: string, nowMs: number, hereZone: string): string {
  const here = timeIn(hereZone, timeMs);
  const there = timeIn(zone, timeMs);
  const wait = timeMs > nowMs ? `in ${duration(timeMs - nowMs)}` : "due";
  return here === there ? `${there} (${wait})` : `${there} (${here} here, ${wait})`;
}

function fireText({ fireId, outcome, leafId, reason, message }: ScheduleFire, color: Colors): string {
  const name = nameOf(FireOutcome, outcome);
  if (outcome === FireOutcome.SUBMITTED) return `${fireId}  ${color.green(name)}  ${leafId}`;
  const paint = outcome === FireOutcome.REFUSED ? color.red : color.yellow;
  return `${fireId}  ${paint(name)}  ${reason}: ${message}`;
}
