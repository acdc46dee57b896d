import { randomUUID } from "node:crypto";
import { signalProcess } from "../../../clients/cli/stack/processes.ts";
import { type Finding, time } from "../claims.ts";
import { find, type Turn, type World } from "../world.ts";

/**
 * A session has files in one of two sandboxes, which is killed for good, with all that would start it again. The next turn is placed in the other
 * one, and has its files again.
 */
export async function elsewhere(world: World): Promise<Finding> {
  const word = randomUUID();
  const first = await world.turn(`Run: echo ${word} > kept; ls`);
  const from = find(first, "placed")?.value.sandbox ?? "";
  const killed = killSandbox(world, from);
  const killedAtMs = Date.now();
  await world.untilThere(from, false);
  const sessionId = first.leaf.spec?.sessionId ?? "";
  const second = await world.turn("Run: cat kept", { spec: { sessionId, sessionMustExist: true } });
  return judge(second, { word, from, killed, went_on_ms: Date.now() - killedAtMs });
}

/** Kill every process of a sandbox; how many there were. */
function killSandbox(world: World, name: string): number {
  // The first one is `hands`, as it is without a pool.
  const processes = world.processes(name === "s1" ? "hands" : name);
  for (const process of processes.filter(({ watches }) => watches)) signalProcess(process, "SIGKILL");
  for (const process of processes) signalProcess(process, "SIGKILL");
  return processes.length;
}

function judge(
  turn: Turn,
  { word, from, killed, went_on_ms }: { word: string; from: string; killed: number; went_on_ms: number },
): Finding {
  const placed = find(turn, "placed")?.value;
  const restored = find(turn, "workspaceRestored")?.value;
  const output = find(turn, "toolEnded")?.value.text ?? "";
  const moved = placed?.movedFrom === from && placed.sandbox !== from && !placed.movedFromIsThere;
  const hasFiles = output.includes(word) && restored !== undefined && restored.snapshotId !== "" && !restored.behind;
  return {
    holds: killed > 0 && moved && hasFiles,
    seen:
      `${killed} processes of ${from} were killed; ${time(went_on_ms)} later a turn of the session was done in ${placed?.sandbox}, ` +
      `${hasFiles ? "with its files" : "without its files"}, from snapshot ${restored?.snapshotId || "none"}`,
    measured: { killed, went_on_ms },
  };
}
