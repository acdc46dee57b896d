import { expect, test } from "vitest";
import { HealthState } from "../health.ts";
import { askHealth } from "../health-check.ts";
import { startServer } from "../testing/index.ts";

test("a service says that it serves, and then that it is stopping; TLS material for others is of no effect without TLS", async () => {
  const health = new HealthState([]);
  const { server } = await startServer({ routes: (router) => health.routes(router) });
  const { address } = server;
  expect(await askHealth({ address })).toBe(true);
  expect(await askHealth({ address, tls: { ca: "of another service", cert: "no certificate", key: "no key" } })).toBe(true);
  health.stopServing();
  expect(await askHealth({ address })).toBe(false);
});

test("a service that is not there rejects", async () => {
  await expect(askHealth({ address: { kind: "unix", path: "/nowhere/at.sock" } })).rejects.toThrow(/ENOENT/);
});
