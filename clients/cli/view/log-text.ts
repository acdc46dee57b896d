import type { Output } from "../output.ts";
import { parseObject } from "../stack/log-file.ts";
import type { LogName } from "../stack/paths.ts";
import { printable } from "./format.ts";

type Colors = Output["color"];

/** Fields of a log line that are shown in another form, or say nothing on one machine. */
const PLACED = new Set(["level", "time", "pid", "hostname", "name", "msg", "err"]);
const LEVELS: Readonly<Record<number, string>> = { 10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal" };
const NAME_WIDTH = 10;

/** When a log line was written, milliseconds since the Unix epoch; `undefined` for a line that doesn't say. */
export function logTime(line: string): number | undefined {
  const time = parseObject(line)?.["time"];
  return typeof time === "number" ? time : undefined;
}

/** A log line for a human: time, service, level, message, and the other fields. */
export function logText(service: LogName, line: string, color: Colors): string {
  const name = color.cyan(service.padEnd(NAME_WIDTH));
  const fields = parseObject(line);
  if (fields === undefined) return `${" ".repeat(12)} ${name} ${printable(line)}`;
  const time = typeof fields["time"] === "number" ? new Date(fields["time"]).toISOString().slice(11, 23) : " ".repeat(12);
  const level = LEVELS[Number(fields["level"])] ?? "";
  const rest = Object.entries(fields).filter(([key]) => !PLACED.has(key));
  const extra = rest.map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
  const text =
    `${color.dim(time)} ${name} ${paintLevel(level, color)} ${String(fields["msg"] ?? "")} ${color.dim(printable(extra))}`.trimEnd();
  return `${text}${errorText(fields["err"])}`;
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
  return stack === "" ? "" : `\n${printable(stack).replace(/^/gm, "    ")}`;
}
