import { cleanLine } from "../clean.ts";
import type { Output } from "../output.ts";
import { parseObject } from "../stack/log-file.ts";
import type { LogName } from "../stack/paths.ts";

type Colors = Output["color"];

/** Fields of a log line that are shown in another form, or say nothing on one machine. */
const PLACED = new Set(["level", "time", "pid", "hostname", "name", "msg", "err"]);
const LEVELS: Readonly<Record<number, string>> = { 10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal" };
const NAME_WIDTH = 10;

/** When a log line was written, milliseconds since the Unix epoch; `undefined` for a line that doesn't say. */
export function logTime(line: string): number | undefined {
  const time = parseObject(line)?.["time"];
  return typeof time === "number" && Number.isFinite(time) ? time : undefined;
}

/** A log line for a human: time, service, level, message, and the other fields. What can't be read is shown as it is. */
export function logText(service: LogName, line: string, color: Colors): string {
  const name = color.cyan(service.padEnd(NAME_WIDTH));
  const fields = parseObject(line);
  const clock = clockTime(fields?.["time"]);
  if (fields === undefined || clock === undefined) return `${" ".repeat(12)} ${name} ${cleanLine(line)}`;
  const level = LEVELS[Number(fields["level"])] ?? "";
  const rest = Object.entries(fields).filter(([key]) => !PLACED.has(key));
  const extra = rest.map(([key, value]) => cleanLine(`${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)).join(" ");
  const message = cleanLine(typeof fields["msg"] === "object" ? JSON.stringify(fields["msg"]) : String(fields["msg"] ?? ""));
  const text = `${color.dim(clock)} ${name} ${paintLevel(level, color)} ${message} ${color.dim(extra)}`.trimEnd();
  return `${text}${errorText(fields["err"])}`;
}

/** Time of day; blank where none is told, `undefined` for what is no time. */
function clockTime(time: unknown): string | undefined {
  if (typeof time !== "number") return " ".repeat(12);
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString().slice(11, 23).padEnd(12);
}

/** A log line as an object, with its service. */
export function logJson(service: LogName, line: string): Readonly<Record<string, unknown>> {
  return { service, ...(parseObject(line) ?? { msg: line }) };
}

function paintLevel(level: string, color: Colors): string {
  const padded = level.padEnd(5);
  if (level === "error" || level === "fatal") return color.red(padded);
  return level === "warn" ? color.yellow(padded) : padded;
}

/** An error's stack, indented: a log is the place for it. */
function errorText(error: unknown): string {
  const stack = typeof error === "object" && error !== null && "stack" in error ? String(error.stack) : "";
  return stack === "" ? "" : `\n${stack.replace(/^/gm, "    ")}`;
}
