import { clean } from "../clean.ts";

/** The first line of a text that is not blank, at most `max` characters of it. */
export function firstLine(text: string, max: number): string {
  const [line = ""] = clean(text).trim().split("\n", 1);
  return line.length > max ? `${line.slice(0, max - 1)}…` : line;
}

/** A length of time for a human: `0.4 s`, `1 m 12 s`, `3 h 5 m`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} m ${Math.floor((ms % 60_000) / 1000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long ago a time was; milliseconds since the Unix epoch. */
export function ago(timeMs: number, nowMs: number = Date.now()): string {
  return duration(Math.max(0, nowMs - timeMs));
}

/** An amount of memory: `73.4 MB`. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** A number of things: `1 model call`, `2 model calls`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/** A time for a human, in ISO 8601; milliseconds since the Unix epoch. A number that is no time is shown as it is. */
export function isoTime(timeMs: number | bigint): string {
  const time = new Date(Number(timeMs));
  return Number.isNaN(time.getTime()) ? `${timeMs} ms` : time.toISOString();
}
