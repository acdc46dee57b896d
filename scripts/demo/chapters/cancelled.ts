import { LeafState } from "@serverless-harness/proto/leaf";
import { stateName } from "../../../clients/cli/view/leaf-text.ts";
import { type Finding, time } from "../claims.ts";
import type { World } from "../world.ts";
import { sightCommand } from "./sandboxed.ts";

/** A length that no other process sleeps. */
const SLEEP = ["sleep", "3017.0731"] as const;

/** A command that would take an hour is cancelled: its process in the sandbox is gone, and what it had started in the background too. */
export async function cancelled(world: World): Promise<Finding> {
  const { leaf } = await world.leaves.submit({ spec: { prompt: `Run: setsid ${SLEEP.join(" ")} & ${SLEEP.join(" ")}` } });
  const leafId = leaf?.leafId ?? "";
  const alive = () => world.processes().filter(({ args }) => args.join(" ") === SLEEP.join(" ")).length;
  await sightCommand(world, SLEEP);
  const before = await world.until("both processes", () => (alive() === 2 ? alive() : undefined));
  const atMs = Date.now();
  await world.leaves.cancel({ leafId, requestedBy: "demo" });
  const gone_ms = await world.until("the processes to go", () => (alive() === 0 ? Date.now() - atMs : undefined));
  const state = await world.until("the leaf to end", async () => {
    const found = (await world.leaves.get({ leafId })).leaf?.state;
    return found !== undefined && found >= LeafState.DONE ? found : undefined;
  });
  return {
    holds: before === 2 && state === LeafState.CANCELLED,
    seen: `${before} processes lived in the sandbox, one of them in a session of its own; ${time(gone_ms)} after the cancel none did, and the leaf is ${stateName(state)}`,
    measured: { processes: before, gone_ms },
  };
}
