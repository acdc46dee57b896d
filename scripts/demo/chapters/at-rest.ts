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
  const count = (part: string): number => processes.filter((process) => process.part === part).length;
  const list = parts.map(
    (part) => `${part} ${count(part)}${part === "hands" && count(part) > 1 ? " (the daemon, its jail, warm shells)" : ""}`,
  );
  return {
    holds: brains === 0 && parts.join() === expected.join(),
    seen: `${brains} brains; ${processes.length} processes: ${list.join(", ")}; resident: dispatcher ${resident("dispatcher")} MB, hands ${resident("hands")} MB`,
    measured: { brains, processes: processes.length, dispatcher_mb: resident("dispatcher"), hands_mb: resident("hands") },
  };
}
