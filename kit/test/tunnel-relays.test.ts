import { Code } from "@connectrpc/connect";
import { HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Address } from "../address.ts";
import type { Server } from "../serve.ts";
import { Relays, type RelaysOptions } from "../tunnel/relays.ts";
import { connected, dial, healthAt, log, startHidden, startRelay, startRouter } from "./fixtures/tunnels.ts";

const SOON = { timeout: 30_000 };

/** Two addresses of this machine, so that one port can be two relays. */
const [ONE, OTHER] = ["127.0.0.1", "127.0.0.2"];

function dialAll(server: Server, addresses: readonly Address[], addressesOf?: RelaysOptions["addressesOf"]): Relays {
  const relays = new Relays({
    relays: addresses.map((address) => ({ address, prefix: "/attach/laptop" })),
    token: () => "open sesame",
    adopt: server.adopt,
    log,
    ...(addressesOf && { addressesOf }),
  });
  onTestFinished(() => relays.close());
  relays.start();
  return relays;
}

const at = (host: string, port: number): Address => ({ kind: "tcp", host, port });
const portOf = ({ server }: { server: Server }): number => (server.address.kind === "tcp" ? server.address.port : 0);
const serves = async ({ server }: { server: Server }) => (await healthAt(server).check({})).status === Status.SERVING;

test("a server is reached by way of each of its relays, and of those that are left when one dies", async () => {
  const [one, other] = [await startRelay(), await startRelay()];
  const relays = dialAll(await startHidden(), [one.server.address, other.server.address]);
  await Promise.all([connected(one), connected(other)]);
  expect(relays.problems).toEqual([undefined, undefined]);
  expect([await serves(one), await serves(other)]).toEqual([true, true]);
  await one.close();
  await vi.waitFor(() => expect(relays.problems[0]).toBeDefined(), SOON);
  expect(relays.problems[1]).toBeUndefined();
  expect(await serves(other)).toBe(true);
  const again = await startRelay({ address: one.server.address });
  await connected(again);
  expect(await serves(again)).toBe(true);
});

test("every address of a name is a relay: one that is added is dialled, and one that is taken out keeps what it has until it dies", async () => {
  const one = await startRelay({ address: at(ONE, 0) });
  const other = await startRelay({ address: at(OTHER, portOf(one)) });
  let addresses: readonly string[] = [ONE, OTHER];
  const relays = dialAll(await startHidden(), [at("relays.example", portOf(one))], async () => addresses);
  await Promise.all([connected(one), connected(other)]);
  await vi.waitFor(() => expect(relays.problems).toEqual([undefined, undefined]), SOON);
  addresses = [OTHER, "127.0.0.3"];
  await vi.waitFor(() => expect(relays.problems.length).toBe(3), SOON);
  expect(await serves(one)).toBe(true);
  await one.close();
  await vi.waitFor(() => expect(relays.problems.length).toBe(2), SOON);
  expect(await serves(other)).toBe(true);
});

test("a name that gets a second address keeps the connection that it has, and is called by way of both", async () => {
  const one = await startRelay({ address: at(ONE, 0) });
  const other = await startRelay({ address: at(OTHER, portOf(one)) });
  let addresses: readonly string[] = [ONE];
  // This machine's own name for itself leads to the first of them.
  const relays = dialAll(await startHidden(), [at("localhost", portOf(one))], async () => addresses);
  await connected(one);
  addresses = [ONE, OTHER];
  await connected(other);
  await vi.waitFor(() => expect(relays.problems).toEqual([undefined, undefined]), SOON);
  expect([await serves(one), await serves(other)]).toEqual([true, true]);
});

test("a connection that is open at one end alone is given up by both, and made again", async () => {
  const relay = await startRelay();
  const router = await startRouter(relay.server);
  const dialOut = dial(await startHidden(), router.address);
  await connected(relay);
  const seen = new Set<string | undefined>();
  router.forget();
  const call = healthAt(relay.server)
    .check({})
    .catch((error: { code: Code }) => error.code);
  await vi.waitFor(
    () => {
      seen.add(dialOut.problem);
      expect(seen).toContain("the relay closed the connection");
    },
    { timeout: 60_000, interval: 10 },
  );
  expect(await call).toBe(Code.Unavailable);
  await connected(relay);
  await vi.waitFor(async () => expect(await serves(relay)).toBe(true), SOON);
});
