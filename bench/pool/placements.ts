import { openLeafStore } from "@serverless-harness/session";
import { timed } from "../pace.mjs";

const LEASE_MS = 3_600_000;
const TENANT = "bench";

/** What placing sessions took, in milliseconds each, and how many sessions each sandbox has then. */
export interface Placements {
  readonly placed: readonly number[];
  /** The same sessions once more, which stay where they are. */
  readonly again: readonly number[];
  readonly loads: readonly number[];
}

/** Place `sessions` new sessions, one after the other, among `sandboxes` sandboxes that have room. */
export async function placements(storeUrl: string, sessions: number, sandboxes: number): Promise<Placements> {
  const store = await openLeafStore(storeUrl);
  try {
    for (let index = 0; index < sandboxes; index++) {
      const name = `sandbox-${index}`;
      await store.sandboxes.report({ name, address: `http://${name}:7500`, stateId: name }, LEASE_MS);
    }
    const place = async (epoch: bigint): Promise<number[]> => {
      const took: number[] = [];
      for (let index = 0; index < sessions; index++) {
        const fence = { tenant: TENANT, sessionId: `session-${index}`, epoch };
        took.push(await timed(() => store.sandboxes.place(fence, {}, LEASE_MS)));
      }
      return took;
    };
    const placed = await place(1n);
    const again = await place(2n);
    return { placed, again, loads: (await store.sandboxes.list()).sandboxes.map((sandbox) => sandbox.placed) };
  } finally {
    await store.close();
  }
}
