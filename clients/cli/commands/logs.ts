import { existsSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { define } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";
import { interruptible } from "../interrupt.ts";
import { parseObject } from "../json.ts";
import { wholeNumber } from "../options/values.ts";
import { type Colors, cleanLine } from "../output.ts";
import { lastLines, readFrom, sizeOf } from "../stack/log-file.ts";
import { LOGS, type LogName, type StackPaths } from "../stack/paths.ts";
import { isSandbox, sandboxName } from "../stack/pool.ts";
import { checkLayout } from "../stack/state-directory.ts";

const POLL_MS = 200;

/** Fields of a log line that are shown in another form, or say nothing on one machine. */
const PLACED = new Set(["level", "time", "pid", "hostname", "name", "msg", "err"]);
const LEVELS: Readonly<Record<number, string>> = { 10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal" };
const NAME_WIDTH = 10;

interface LogsOptions extends CommonOptions {
  readonly follow?: boolean;
  readonly lines: number;
}

/** `leaf logs`: the logs of the stack, for humans. */
export function add(command: Command): void {
  define<LogsOptions>(command, {
    description: `Services: ${LOGS.join(", ")}, and each sandbox, as s2. Without one: all, by time. With --json each line is an object with the service's name.`,
    options: (given) =>
      given
        .option("-f, --follow", "and every new line, until Ctrl-C")
        .option("-n, --lines <n>", "at most this many last lines of each", wholeNumber(0, 1_000_000), 50),
    run: async (context, [service], { follow = false, lines }) => {
      const { paths } = context;
      checkLayout(paths);
      const names = chooseLogs(paths, service);
      if (names.every((name) => sizeOf(paths.log(name)) === 0) && !follow) {
        const what = service === undefined ? "there are no logs" : `${service} has no log`;
        throw new CliError(ExitCode.notFound, "no_log", `${what} in ${paths.logs}: the first \`leaf up\` or turn begins one`);
      }
      const offsets = new Map(names.map((name) => [name, sizeOf(paths.log(name))]));
      const last = names.flatMap((name) => lastLines(paths.log(name), lines).map((line) => ({ name, line, time: logTime(line) })));
      // A line without a time, as of a stack trace, must keep its place in its log: then nothing is sorted.
      if (last.every(({ time }) => time !== undefined)) last.sort((a, b) => Number(a.time) - Number(b.time));
      for (const { name, line } of last) print(context, name, line);
      if (follow) await followLogs(context, paths, offsets);
    },
  });
}

function chooseLogs(paths: StackPaths, service: string | undefined): readonly LogName[] {
  const all = existingLogs(paths);
  if (service === undefined) return all;
  const name = all.find((known) => known === service || (isSandbox(known) && sandboxName(known) === service));
  if (name === undefined) throw new InvalidArgumentError(`there is no service ${service}: choose one of ${all.join(", ")}`);
  return [name];
}

/** Those of every stack, and of this one's other sandboxes. */
function existingLogs({ logs }: StackPaths): LogName[] {
  const files = existsSync(logs) ? readdirSync(logs) : [];
  const sandboxes = files.flatMap((file) => /^(s\d+)\.log$/.exec(file)?.[1] ?? []).sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
  return [...LOGS, ...(sandboxes as LogName[])];
}

/** Print what is appended. A log that has become shorter was begun again. */
async function followLogs(context: Context, paths: StackPaths, offsets: Map<LogName, number>): Promise<void> {
  const interrupt = interruptible(0, () => "");
  const rest = new Map<LogName, string>();
  while (!interrupt.signal.aborted) {
    for (const [name, known] of offsets) {
      const from = sizeOf(paths.log(name)) < known ? 0 : known;
      const text = readFrom(paths.log(name), from);
      offsets.set(name, from + Buffer.byteLength(text));
      const lines = `${rest.get(name) ?? ""}${text}`.split("\n");
      rest.set(name, lines.pop() ?? "");
      for (const line of lines) print(context, name, line);
    }
    await sleep(POLL_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
  }
  interrupt.release();
}

function print({ out }: Context, service: LogName, line: string): void {
  if (line === "") return;
  if (out.json) out.document({ service, ...(parseObject(line) ?? { msg: line }) }, true);
  else out.line(logText(service, line, out.color));
}

/** When a log line was written, milliseconds since the Unix epoch; `undefined` for a line that doesn't say. */
function logTime(line: string): number | undefined {
  const time = parseObject(line)?.["time"];
  return typeof time === "number" && Number.isFinite(time) ? time : undefined;
}

/** A log line for a human: time, service, level, message, and the other fields. A line that can't be read is shown as it is. */
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

/** Time of day; blank if there is none, `undefined` if it is no time. */
function clockTime(time: unknown): string | undefined {
  if (typeof time !== "number") return " ".repeat(12);
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString().slice(11, 23).padEnd(12);
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
