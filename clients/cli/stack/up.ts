import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { CliError, ExitCode } from "../errors.ts";
import { stopProcesses } from "./down.ts";
import { readText } from "./log-file.ts";
import type { ServiceName, StackPaths } from "./paths.ts";
import type { StackPlan } from "./plan.ts";
import { sandboxServices } from "./pool.ts";
import { signalProcess } from "./processes.ts";
import { bundleOf, nodeOf } from "./programs.ts";
import { isWatched, liveRecord, readRecord, removeRecords, type ServiceRecord, servicePid } from "./record.ts";
import { dispatcherService, modelService, type ServiceSpec, sandboxService } from "./services.ts";
import { startService, waitUntilHealthy } from "./start.ts";
import { prepareSandbox } from "./state-directory.ts";

/** Exit code of a service whose settings can't be used. */
const BAD_SETTINGS = 64;

/** What `leaf up` did. */
export interface UpResult {
  readonly records: readonly ServiceRecord[];
  /** Those that were not running before. */
  readonly started: readonly ServiceName[];
}

/**
 * Start what is missing of a stack, and wait until all of it works. If a part can't be started, or `signal` aborts, the
 * parts that this call started are stopped again. The caller holds the lock and has prepared the state directory.
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
    // The first one on its own: the others use what it makes when it starts.
    const [first = "hands", ...others] = sandboxServices(plan.sandboxes);
    const sandbox = (service: ServiceName): Promise<ServiceRecord> => {
      prepareSandbox(paths.sandbox(service));
      return ensure(sandboxService(plan, service, port));
    };
    const allSandboxes = async (): Promise<ServiceRecord[]> => [await sandbox(first), ...(await allSettled(others.map(sandbox)))];
    const standIn = async (): Promise<ServiceRecord[]> =>
      plan.model.standIn ? [await ensure(modelService(plan, knownAddress(paths, "model")))] : [];
    const [sandboxes = [], models = []] = await allSettled([allSandboxes(), standIn()]);
    const dispatcher = await ensure(dispatcherService(plan, token, port, models[0]?.address ?? ""));
    return { records: [...sandboxes, ...models, dispatcher], started };
  } catch (error) {
    await stopProcesses(paths, started);
    removeRecords(paths, started);
    throw error;
  }
}

/** The results of all; the first error if there is one, once none is at work any more. */
async function allSettled<T>(work: ReadonlyArray<Promise<T>>): Promise<T[]> {
  await Promise.allSettled(work);
  return await Promise.all(work);
}

/** Throw if brains can't work with a plan. */
export async function requireUsableSettings(plan: StackPlan, port: number): Promise<void> {
  // The stand-in's address is not known yet, and does not matter here.
  await requireUsableBrain(dispatcherService(plan, readText(plan.paths.token) ?? "", port, "http://127.0.0.1"));
}

async function ensureService(paths: StackPaths, service: ServiceSpec, started: ServiceName[], signal: AbortSignal): Promise<ServiceRecord> {
  const running = liveRecord(paths, service.name);
  if (running !== undefined) {
    requireSameSettings(running, service);
    if (isWatched(running)) {
      // A service that died is started at once.
      if (servicePid(paths, running) === undefined) signalProcess(running, "SIGUSR2");
      return await waitUntilHealthy(paths, service, running, 0, signal);
    }
    // Without a watcher nobody would start it again when it dies.
    await stopProcesses(paths, [service.name]);
  }
  started.push(service.name);
  return await startService(paths, service, signal);
}

/** A running part is left as it is: if the user asks for something else now, the user has to decide. */
function requireSameSettings(running: ServiceRecord, service: ServiceSpec): void {
  // The record of a leaf that knew no pool does not say that there is none.
  const settings: Readonly<Record<string, string>> =
    service.name === "dispatcher" ? { pool: "false", ...running.settings } : running.settings;
  const differing = Object.entries(service.settings).filter(([name, value]) => settings[name] !== value);
  const addressDiffers = service.address !== undefined && running.address !== "" && running.address !== service.address;
  const [name, value] = differing[0] ?? (addressDiffers ? ["address", service.address] : []);
  if (name === undefined) return;
  const now = name === "address" ? running.address : settings[name];
  const message = `${service.name} runs already, with ${name} ${now} instead of ${value}: \`leaf down\` first, then \`leaf up\` again`;
  throw new CliError(ExitCode.refused, "runs_otherwise", message);
}

/** The address at which a part that has died listened. */
function knownAddress(paths: StackPaths, name: ServiceName): string | undefined {
  return readRecord(paths, name)?.address || undefined;
}

/**
 * Throw, with a line for each problem, if brains could not start with the settings that the dispatcher would give them:
 * it starts them only when there is work, which would then wait forever.
 */
async function requireUsableBrain({ version, environment }: ServiceSpec): Promise<void> {
  const brain = join(version.root, bundleOf("brain"));
  // The dispatcher gives brains its real address when it listens.
  const env = { DISPATCHER_URL: "http://127.0.0.1:7433", ...environment };
  const child = spawn(nodeOf(version), [brain, "--check"], { env, stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<number | null>((resolve) => {
    child.on("error", () => resolve(null));
    child.on("close", resolve);
  });
  const [code, said] = await Promise.all([ended, child.stderr === null ? "" : text(child.stderr).catch(() => "")]);
  if (code !== BAD_SETTINGS) return;
  throw new CliError(ExitCode.usage, "bad_settings", `brains can't start with these settings, so nothing was started:\n${said.trim()}`);
}

/** Throw if another process listens on this port of the loopback interface, or it can't be used. Port 0 is always free. */
async function requireFreePort(port: number): Promise<void> {
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const probe = createServer();
    probe.once("error", resolve);
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(undefined)));
  });
  if (problem === undefined) return;
  const why = problem.code === "EADDRINUSE" ? "is in use by another process" : `can't be used (${problem.code})`;
  throw new CliError(
    ExitCode.refused,
    "port_in_use",
    `port ${port} ${why}: choose another with --port, as \`leaf up --port ${alternative(port)}\``,
  );
}

function alternative(port: number): number {
  return port < 1024 || port >= 65535 ? 7433 : port + 1;
}
