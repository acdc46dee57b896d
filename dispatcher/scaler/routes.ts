import { Code, type ConnectRouter } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { HealthState } from "@serverless-harness/kit/health";
import type { Logger } from "@serverless-harness/kit/log";
import { serveReflection } from "@serverless-harness/kit/reflection";
import { ExternalScaler, type ScaledObjectRef } from "@serverless-harness/proto/scaler";
import type { LeafStore } from "@serverless-harness/session";
import { whileRead } from "../while-read.ts";
import { Activity } from "./activity.ts";
import { leavesPerBrain } from "./scaled-object.ts";

/** The one metric. */
const METRIC = "leaves";

/** What the external scaler answers from. */
export interface ScalerDependencies {
  readonly store: Pick<LeafStore, "backlog" | "waitForWork" | "waitForIdle">;
  readonly health: HealthState;
  /** Streams end when it aborts. */
  readonly ended: AbortSignal;
  /** A stream is never silent for longer, in milliseconds. */
  readonly keepAliveMs: number;
  readonly log: Logger;
}

/** KEDA's external scaler, health and reflection. */
export function scalerRoutes({ store, health, ended, keepAliveMs, log }: ScalerDependencies): (router: ConnectRouter) => void {
  const activity = new Activity(store, log);
  const leaves = async (): Promise<number> => {
    const { ready, running } = await store.backlog();
    return ready + running;
  };
  async function* states(object: ScaledObjectRef, signal: AbortSignal): AsyncGenerator<{ result: boolean }> {
    leavesPerBrain(object);
    for await (const result of activity.states(keepAliveMs, AbortSignal.any([signal, ended]))) yield { result };
  }
  return (router) => {
    health.routes(router);
    router.service(ExternalScaler, {
      isActive: async (object) => {
        leavesPerBrain(object);
        return { result: (await leaves()) > 0 };
      },
      streamIsActive: (object, { signal }) => whileRead(states(object, signal), signal),
      getMetricSpec: (object) => {
        const target = leavesPerBrain(object);
        return { metricSpecs: [{ metricName: METRIC, targetSize: BigInt(target), targetSizeFloat: target }] };
      },
      getMetrics: async ({ scaledObjectRef, metricName }) => {
        leavesPerBrain(scaledObjectRef);
        if (metricName !== METRIC) throw unknownMetric(metricName);
        const value = await leaves();
        return { metricValues: [{ metricName: METRIC, metricValue: BigInt(value), metricValueFloat: value }] };
      },
    });
    serveReflection(router);
  };
}

function unknownMetric(name: string): HarnessError {
  const text = `metricName: there is no metric ${JSON.stringify(name.slice(0, 64))}, the only one is ${METRIC}`;
  return new HarnessError(Code.InvalidArgument, "invalid_argument", text);
}
