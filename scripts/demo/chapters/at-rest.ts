import { processLabel } from "../../../clients/cli/stack/processes.ts";
import type { Finding } from "../claims.ts";
import type { World } from "../world.ts";

const MEGABYTE = 1024 * 1024;

/** Nothing lives that would think: the processes are counted from the operating system. */
export async function atRest(world: World): Promise<Finding> {
  const processes = world.processes();
  const brains = processes.filter(({ part }) => part === "brain").length;
  const parts = [...new Set(processes.map(({ part }) => part))].sort();
  const expected = ["dispatcher", "hands", ...(world.info.standIn ? ["model"] : [])];
  const resident = (part: string): number =>
    Math.round(Math.max(...processes.filter((process) => process.part === part).map((process) => process.memoryBytes)) / MEGABYTE);
  const list = processes.map((process) => `${processLabel(process)} (pid ${process.pid})`).join(", ");
  return {
    holds: brains === 0 && parts.join() === expected.join(),
    seen: `${brains} brains; ${list}; resident: dispatcher ${resident("dispatcher")} MB, hands ${resident("hands")} MB`,
    measured: { brains, processes: processes.length, dispatcher_mb: resident("dispatcher"), hands_mb: resident("hands") },
  };
}
