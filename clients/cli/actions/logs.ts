import { setTimeout as sleep } from "node:timers/promises";
import { InvalidArgumentError } from "commander";
import type { LogsOptions } from "../commands/logs.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { interruptible } from "../interrupt.ts";
import { lastLines, readFrom, sizeOf } from "../stack/log-file.ts";
import { LOGS, type LogName, type StackPaths } from "../stack/paths.ts";
import { checkLayout } from "../stack/state-directory.ts";
import { logJson, logText, logTime } from "../view/log-text.ts";

const POLL_MS = 200;

/** Does `leaf logs`. */
export async function runLogs(context: Context, [service]: readonly string[], options: LogsOptions): Promise<ExitCode> {
  const { paths } = context;
  checkLayout(paths);
  const names = chooseLogs(service);
  if (names.every((name) => sizeOf(paths.log(name)) === 0) && options.follow !== true) {
    const what = service === undefined ? "there are no logs" : `${service} has no log`;
    throw new CliError(ExitCode.notFound, "no_log", `${what} in ${paths.logs}: the first \`leaf up\` or turn begins one`);
  }
  const offsets = new Map(names.map((name) => [name, sizeOf(paths.log(name))]));
  const last = names.flatMap((name) => lastLines(paths.log(name), options.lines).map((line) => ({ name, line, time: logTime(line) })));
  // A line without a time of its own, as of a stack trace, stays where it is within its log.
  for (const { name, line } of last.some(({ time }) => time === undefined) ? last : last.sort((a, b) => Number(a.time) - Number(b.time))) {
    print(context, name, line);
  }
  if (options.follow === true) await follow(context, paths, offsets);
  return ExitCode.ok;
}

function chooseLogs(service: string | undefined): readonly LogName[] {
  if (service === undefined) return LOGS;
  const name = LOGS.find((known) => known === service);
  if (name === undefined) throw new InvalidArgumentError(`there is no service ${service}: choose one of ${LOGS.join(", ")}`);
  return [name];
}

/** Print what is appended. A log that has become shorter was begun anew. */
async function follow(context: Context, paths: StackPaths, offsets: Map<LogName, number>): Promise<void> {
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

function print({ out }: Context, name: LogName, line: string): void {
  if (line === "") return;
  if (out.json) out.document(logJson(name, line), true);
  else out.line(logText(name, line, out.color));
}
