import type { LeafStore } from "../contract/leaf-store.ts";
import type { PlacementWishes, SandboxReport } from "../contract/sandboxes.ts";
import { LONG_LEASE_MS } from "./build.ts";

export const MINUTE_MS = 60_000;

/** Report sandboxes as there for an hour; what is not said of one is as in {@link Sandbox}'s defaults. */
export async function reported(store: LeafStore, ...reports: ReadonlyArray<string | Partial<SandboxReport>>): Promise<void> {
  for (const report of reports) {
    const { name = "a", ...rest } = typeof report === "string" ? { name: report } : report;
    await store.sandboxes.report({ name, address: `http://${name}:7444`, stateId: `disk of ${name}`, ...rest }, 60 * MINUTE_MS);
  }
}

export function fenceOf(sessionId: string, { tenant = "acme", epoch = 1n } = {}) {
  return { tenant, sessionId, epoch };
}

/** Where a session is placed, by name. */
export async function placed(store: LeafStore, sessionId: string, wishes: PlacementWishes = {}, leaseMs = LONG_LEASE_MS): Promise<string> {
  return (await store.sandboxes.place(fenceOf(sessionId), wishes, leaseMs)).sandbox.name;
}

export async function loads(store: LeafStore): Promise<Record<string, [number, number]>> {
  return Object.fromEntries((await store.sandboxes.list()).sandboxes.map(({ name, working, placed }) => [name, [working, placed]]));
}
