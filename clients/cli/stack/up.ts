import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { requireUsableBrain } from "./brain-check.ts";
import { stopProcesses } from "./down.ts";
import { readText } from "./log-file.ts";
import type { ServiceName, StackPaths } from "./paths.ts";
import { requireFreePort } from "./port.ts";
import { signalProcess } from "./processes.ts";
import { isWatched, liveRecord, readRecord, removeRecords, type ServiceRecord, servicePid } from "./record.ts";
import { dispatcherService, handsService, modelService, type ServiceSpec, type StackPlan } from "./services.ts";
import { startService, waitUntilHealthy } from "./start.ts";

/** What `leaf up` did. */
export interface UpResult {
  readonly records: readonly ServiceRecord[];
  /** Those that were not running before. */
  readonly started: readonly ServiceName[];
}

/**
 * Start what is missing of a stack, and wait until all of it works. Where a part can't be started, or `signal` aborts, those that this call started
 * are stopped again. The caller holds the lock and has prepared the state directory.
 */
export async function startStack(plan: StackPlan, port: number, signal: AbortSignal): Promise<UpResult> {
  const { paths } = plan;
  const token = readText(paths.token) ?? "";
  if (liveRecord(paths, "dispatcher") === undefined) {
    await requireFreePort(port);
    await requireUsableSettings(plan, port);
  }
  const started: ServiceName[] = [];
  const ensure = (service: ServiceSpec): Promise<ServiceRecord> => ensureService(paths, service, started, signal);
  try {
    const records = [await ensure(handsService(plan, port))];
    let standInUrl = "";
    if (plan.model.standIn) {
      const model = await ensure(modelService(plan, knownAddress(paths, "model")));
      standInUrl = model.address;
      records.push(model);
    }
    records.push(await ensure(dispatcherService(plan, token, port, standInUrl)));
    return { records, started };
  } catch (error) {
    await stopProcesses(paths, started);
    removeRecords(paths, started);
    throw error;
  }
}

/** Throw if brains can't work with a plan. */
export async function requireUsableSettings(plan: StackPlan, port: number): Promise<void> {
  // Where the stand-in will listen is not known yet, and does not matter here.
  await requireUsableBrain(dispatcherService(plan, readText(plan.paths.token) ?? "", port, "http://127.0.0.1"));
}

async function ensureService(paths: StackPaths, service: ServiceSpec, started: ServiceName[], signal: AbortSignal): Promise<ServiceRecord> {
  const running = liveRecord(paths, service.name);
  if (running !== undefined) {
    requireSameSettings(running, service);
    if (isWatched(running)) {
      // One that died needn't wait for its turn.
      if (servicePid(paths, running) === undefined) signalProcess(running, "SIGUSR2");
      return await waitUntilHealthy(paths, service, running, 0, signal);
    }
    // Nobody would start it again when it dies.
    await stopProcesses(paths, [service.name]);
  }
  started.push(service.name);
  return await startService(paths, service, signal);
}

/** A running part is left as it is: where something else is asked of it now, the user has to decide. */
function requireSameSettings(running: ServiceRecord, service: ServiceSpec): void {
  const differing = Object.entries(service.settings).filter(([name, value]) => running.settings[name] !== value);
  const addressDiffers = service.address !== undefined && running.address !== "" && running.address !== service.address;
  const [name, value] = differing[0] ?? (addressDiffers ? ["address", service.address] : []);
  if (name === undefined) return;
  const now = name === "address" ? running.address : running.settings[name];
  const message = `${service.name} runs already, with ${name} ${now} instead of ${value}: \`leaf down\` first, then \`leaf up\` again`;
  throw new CliError(ExitCode.refused, "runs_otherwise", message);
}

/** Where a part that has died listened. */
function knownAddress(paths: StackPaths, name: ServiceName): string | undefined {
  return readRecord(paths, name)?.address || undefined;
}
