import { pidNamespace } from "@serverless-harness/kit/proc";
import type { StackProcess } from "../../../clients/cli/stack/processes.ts";
import type { Finding } from "../claims.ts";
import { find, type Turn, type World, workers } from "../world.ts";

/** What the demo saw of a command while it ran. */
export interface Sighting {
  readonly process: StackProcess;
  readonly pidNamespace: string;
}

/** See the process whose command line ends with these arguments, while it lives. */
export async function sightCommand(world: World, args: readonly string[]): Promise<Sighting> {
  const wanted = args.join(" ");
  const process = await world.until(`a process ${wanted}`, () => world.processes().find((found) => found.args.join(" ") === wanted));
  return { process, pidNamespace: pidNamespace(process.pid) };
}

/** The turn's command was a process of the sandbox: in a pid namespace of its own, if there is a jail; below hands in any case. */
export async function sandboxed(world: World, turn: Turn, sighting: Sighting): Promise<Finding> {
  const [worker] = workers(turn);
  const jailed = world.info.sandbox === "bwrap";
  const told = find(turn, "toolEnded")?.value.text.match(/pid:\[\d+\]/)?.[0] ?? "nothing";
  const apart = sighting.pidNamespace !== worker?.pidNamespace && told === sighting.pidNamespace;
  const below = sighting.process.part === "hands";
  const kind = jailed ? "bubblewrap jail" : "no jail (--sandbox process), so the pid namespace is shared";
  return {
    holds: below && (apart || !jailed),
    seen: `brain in ${worker?.pidNamespace}, command in ${sighting.pidNamespace} (it said ${told}), below ${sighting.process.part}; sandbox: ${kind}`,
    measured: { sandbox: world.info.sandbox, brain_namespace: worker?.pidNamespace ?? "", command_namespace: sighting.pidNamespace },
  };
}
