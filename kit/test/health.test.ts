import { createClient } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { expect, test } from "vitest";
import { HealthState } from "../health.ts";
import { startServer } from "../testing/index.ts";

async function watching(keepAliveMs?: number) {
  const health = new HealthState(["a.Service"], keepAliveMs);
  const { client } = await startServer({ routes: (router) => health.routes(router) });
  const watch = (service = "") => createClient(Health, client()).watch({ service })[Symbol.asyncIterator]();
  return { health, watch };
}

const status = ({ value }: IteratorResult<{ status: Status }>): Status | undefined => value?.status;

test("whoever watches is told again what holds while nothing changes, so that no proxy cuts the stream", async () => {
  const { watch } = await watching(20);
  for (const [service, holds] of [["a.Service", Status.SERVING] as const, ["another.Service", Status.SERVICE_UNKNOWN] as const]) {
    const statuses = watch(service);
    for (let message = 0; message < 3; message++) expect(status(await statuses.next())).toBe(holds);
    await statuses.return?.();
  }
});

test("whoever watches is told when the server takes no more requests, and then the stream ends", async () => {
  const { health, watch } = await watching();
  const [whole, one] = [watch(), watch("a.Service")];
  expect([status(await whole.next()), status(await one.next())]).toEqual([Status.SERVING, Status.SERVING]);
  health.stopServing();
  for (const statuses of [whole, one]) {
    expect(status(await statuses.next())).toBe(Status.NOT_SERVING);
    expect((await statuses.next()).done).toBe(true);
  }
});
