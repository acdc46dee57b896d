import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Logger } from "@serverless-harness/kit/log";
import { startServer } from "@serverless-harness/kit/testing";
import { HandsProcess } from "@serverless-harness/pi-fork/testing";
import { type DescribeResponseSchema, IdentityService } from "@serverless-harness/proto/hands";
import type { LeafStore } from "@serverless-harness/session";
import { expect, onTestFinished, vi } from "vitest";
import type { PoolConfig } from "../../pool/config.ts";
import { fixedSandboxes } from "../../pool/listed-sandboxes.ts";
import { Pool } from "../../pool/pool.ts";
import type { FoundSandbox, SandboxSource } from "../../pool/source.ts";
import { newStore, originOf, SILENT } from "../support.ts";

export const NO_ACCESS = { tls: undefined, credential: { kind: "none" } } as const;

/** A pool that asks every tenth of a second, over the sources. */
export async function startPool(
  sources: readonly SandboxSource[],
  { store, log = SILENT, ...config }: Partial<PoolConfig> & { readonly store?: LeafStore; readonly log?: Logger } = {},
) {
  const opened = store ?? (await newStore()).store;
  const pool = new Pool({ store: opened, config: { askMs: 100, aliveMs: 1000, capacity: 0, access: NO_ACCESS, ...config }, sources, log });
  onTestFinished(() => pool.stop());
  pool.start();
  /** The names of the sandboxes that are there, by the store. */
  const there = async (): Promise<string[]> => {
    const { sandboxes, nowMs } = await opened.sandboxes.list();
    return sandboxes.filter(({ aliveUntilMs }) => Number(aliveUntilMs) > nowMs).map(({ name }) => name);
  };
  const known = async (name: string) => (await opened.sandboxes.list()).sandboxes.find((each) => each.name === name);
  const problemOf = (name: string) => pool.members().find(({ found }) => found.name === name)?.problem;
  return { store: opened, pool, there, known, problemOf };
}

export const listed = (...sandboxes: ReadonlyArray<Partial<FoundSandbox>>): SandboxSource =>
  fixedSandboxes(sandboxes.map(({ name = "a", address = "", tenant = "" }) => ({ name, address, tenant })));

/** A real sandbox in a process of its own. */
export async function ownHands(env: Readonly<Record<string, string>> = {}): Promise<HandsProcess> {
  const hands = await HandsProcess.start(env);
  onTestFinished(() => hands.stop());
  return hands;
}

/** A server that says of itself what it likes; `asked`: how often it was asked. */
export async function teller(describe: (asked: number) => MessageInitShape<typeof DescribeResponseSchema> | Promise<never>) {
  let asked = 0;
  const { server } = await startServer({ routes: (router) => router.service(IdentityService, { describe: () => describe(++asked) }) });
  return { address: originOf(server), asked: () => asked };
}

/** A server that takes connections and never says a word. */
export async function mute(): Promise<string> {
  const server: Http2Server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  // Whoever asks gives up.
  server.on("stream", (stream) => stream.on("error", () => undefined));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Wait until it is so. */
export function until(check: () => unknown): Promise<void> {
  return vi.waitFor(async () => expect(await check()).toBe(true), { timeout: 20_000, interval: 20 });
}
