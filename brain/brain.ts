import { create } from "@bufbuild/protobuf";
import type { Address } from "@serverless-harness/kit/address";
import { createLogger, type Logger } from "@serverless-harness/kit/log";
import type { Service } from "@serverless-harness/kit/main";
import { pidNamespace } from "@serverless-harness/kit/proc";
import { openTracing } from "@serverless-harness/kit/tracing/tracing";
import { type Worker, WorkerSchema } from "@serverless-harness/proto/leaf";
import { type Claim, openLeafStore, sessionKey } from "@serverless-harness/session";
import { AgentFactory } from "./agents/agent-factory.ts";
import { type BrainConfig, readConfig } from "./config.ts";
import { LeafRun } from "./leaf/leaf-run.ts";
import { Runner } from "./runner.ts";

/** A running brain. */
export interface Brain extends Service {
  /** Resolves with the exit code when the brain has nothing to do any more. Never, if it serves the wake API. */
  readonly finished: Promise<number>;
}

/** Throw a ConfigError if a brain could not start with these settings. Nothing is opened, reached or changed. */
export function checkBrain(config: BrainConfig = readConfig()): void {
  new AgentFactory(config, createLogger("brain", config.logLevel));
}

/** Start a brain: it looks for work at once, or serves the wake API and works when it is woken. */
export async function startBrain(config: BrainConfig = readConfig()): Promise<Brain> {
  const { name, leaseMs, concurrency, graceMs, listen } = config;
  const log = createLogger("brain", config.logLevel).child({ brain: name });
  surviveDefects(log);
  const agents = new AgentFactory(config, log);
  const [store, tracing] = await Promise.all([openLeafStore(config.leafStore), openTracing(config.tracing, "leaf-brain", log)]);
  const createRun = (claim: Claim): LeafRun => {
    const { leaf, fence, takeover } = claim;
    const leafLog = log.child({ leaf: leaf.leafId, session: sessionKey(fence), epoch: String(fence.epoch) });
    leafLog.info({ takeover, claims: leaf.claims, sinceStartMs: Math.round(performance.now()) }, "leaf claimed");
    return new LeafRun({ store, claim, leaseMs, open: (owned, seams) => agents.open(owned, seams, store, leafLog), tracing, log: leafLog });
  };
  const runner = new Runner({ store, worker: thisWorker(name), concurrency, leaseMs, graceMs, createRun, log });
  const server = listen === undefined ? undefined : await serveWake(listen, runner, log);
  // If there is no work yet, the time until there is some.
  if (server !== undefined) agents.warmUp().catch(() => undefined);
  const release = async (): Promise<void> => {
    await agents.close();
    await Promise.all([store.close(), tracing.close()]);
  };
  return {
    finished: server === undefined ? exitCodeWhenIdle(runner, release, log) : new Promise(() => undefined),
    async stop(signal) {
      log.info({ signal }, "brain drains");
      server?.stopServing();
      await runner.drain();
      // A wake that is being answered ends with the drain.
      await server?.close();
      await release();
    },
  };
}

async function exitCodeWhenIdle(runner: Runner, release: () => Promise<void>, log: Logger): Promise<number> {
  try {
    const counts = await runner.runUntilIdle();
    await release();
    log.info({ ...counts, livedMs: Math.round(performance.now()) }, "brain goes: nothing to do");
    return 0;
  } catch (error) {
    log.fatal({ err: error }, "brain gives up");
    return 1;
  }
}

/** The server comes last and is loaded only here: most brains have none. */
async function serveWake(address: Address, runner: Runner, log: Logger): Promise<{ stopServing(): void; close(): Promise<void> }> {
  const [{ serve }, { HealthState }, { routes }] = await Promise.all([
    import("@serverless-harness/kit/serve"),
    import("@serverless-harness/kit/health"),
    import("./routes.ts"),
  ]);
  const health = new HealthState(["harness.brain.v1.BrainService"]);
  const server = await serve({ address, routes: routes({ runner, health, log }), log });
  log.info({ address: server.address }, "brain listens");
  return { stopServing: () => health.stopServing(), close: () => server.close() };
}

/** One leaf's defect, or a connection that breaks while nobody listens, must not take the other leaves down. */
function surviveDefects(log: Logger): void {
  process.on("unhandledRejection", (error) => log.error({ err: error }, "unhandled rejection"));
  process.on("uncaughtException", (error) => log.error({ err: error }, "uncaught exception"));
}

/** This process, as leaves that it runs name it. */
function thisWorker(name: string): Worker {
  return create(WorkerSchema, {
    name,
    pid: BigInt(process.pid),
    pidNamespace: pidNamespace(),
    startedAtMs: BigInt(Math.round(performance.timeOrigin)),
  });
}
