import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CliError, ExitCode } from "../errors.ts";
import { announcedAddress, lastLines, openLog } from "./log-file.ts";
import type { StackPaths } from "./paths.ts";
import { nodeOf, watcherOf } from "./programs.ts";
import { isWatched, newRecord, type ServiceRecord, writeRecord } from "./record.ts";
import type { ServiceSpec } from "./services.ts";
import { forgetWatch, markWorked, WATCH_BOUNDS, watcherArguments } from "./watch.ts";

const START_TIMEOUT_MS = 20_000;
const POLL_MS = 20;
/** How many lines of its log are shown if a service can't start. */
const SHOWN_LINES = 10;

/** A service that could not be started, with the end of its log. */
export class StartError extends CliError {
  readonly log: readonly string[];

  constructor(exitCode: ExitCode, reason: string, message: string, log: readonly string[]) {
    super(exitCode, reason, message);
    this.log = log;
  }
}

/** Start a service in the background and wait until it works. It outlives this process, and is started again if it dies. */
export async function startService(paths: StackPaths, service: ServiceSpec, signal: AbortSignal): Promise<ServiceRecord> {
  const { record, offset } = spawnService(paths, service);
  return await waitUntilHealthy(paths, service, record, offset, signal);
}

/**
 * Poll until the service answers, ends, takes too long, or `signal` aborts. `offset`: where its part of the log begins.
 */
export async function waitUntilHealthy(
  paths: StackPaths,
  service: ServiceSpec,
  started: ServiceRecord,
  offset: number,
  signal: AbortSignal,
): Promise<ServiceRecord> {
  const log = paths.log(service.name);
  let record = started;
  for (const deadline = Date.now() + START_TIMEOUT_MS; Date.now() < deadline; await sleep(POLL_MS)) {
    if (signal.aborted) throw signal.reason;
    if (!isWatched(record)) {
      const message = `${service.name} ended while it started; the end of its log is above, all of it is in ${log}`;
      throw new StartError(ExitCode.refused, "service_ended", message, lastLines(log, SHOWN_LINES, offset));
    }
    if (record.address === "") {
      const address = announcedAddress(log, offset);
      if (address === undefined) continue;
      record = { ...record, address };
      writeRecord(paths, record);
    }
    if (!(await service.isHealthy(record.address))) continue;
    markWorked(paths, service.name, record.address);
    return record;
  }
  const message = `${service.name} (pid ${record.pid}) runs but did not answer for ${START_TIMEOUT_MS / 1000} s: try \`leaf down\`, then \`leaf up\``;
  throw new StartError(ExitCode.timeout, "service_silent", message, lastLines(log, SHOWN_LINES, offset));
}

/** Start its watcher, which starts the service, and record it before anything else, so that `leaf down` finds it whatever happens to us. */
function spawnService(paths: StackPaths, service: ServiceSpec): { record: ServiceRecord; offset: number } {
  const { settings, version } = service;
  const { fd, offset } = openLog(paths.log(service.name));
  forgetWatch(paths, service.name);
  const command = [nodeOf(version), join(version.root, service.program)];
  const child = spawn(watcherOf(version), watcherArguments(paths, service, WATCH_BOUNDS, command), {
    cwd: paths.dir,
    env: service.environment,
    detached: true,
    stdio: ["ignore", fd, fd],
  });
  closeSync(fd);
  // Without a listener the error would be thrown; the missing pid shows it as well.
  child.on("error", () => undefined);
  if (child.pid === undefined)
    throw new StartError(ExitCode.refused, "no_process", `can't start ${service.name}: no process could be made`, []);
  child.unref();
  const record = newRecord(service.name, child.pid, { address: service.address ?? "", settings, version });
  writeRecord(paths, record);
  return { record, offset };
}
