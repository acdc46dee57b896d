import { apart } from "./chapters/apart.ts";
import { approved } from "./chapters/approved.ts";
import { asleep } from "./chapters/asleep.ts";
import { atRest } from "./chapters/at-rest.ts";
import { cancelled } from "./chapters/cancelled.ts";
import { coldStart } from "./chapters/cold-start.ts";
import { dialledIn } from "./chapters/dialled-in.ts";
import { economics } from "./chapters/economics.ts";
import { elsewhere } from "./chapters/elsewhere.ts";
import { fanOut } from "./chapters/fan-out.ts";
import { gone } from "./chapters/gone.ts";
import { killed } from "./chapters/killed.ts";
import { killedOften } from "./chapters/killed-often.ts";
import { reattached } from "./chapters/reattached.ts";
import { resubmitted } from "./chapters/resubmitted.ts";
import { resumed } from "./chapters/resumed.ts";
import { sandboxed, sightCommand } from "./chapters/sandboxed.ts";
import { scheduled } from "./chapters/scheduled.ts";
import { seedGate } from "./chapters/seed-gate.ts";
import { sharedTerminal } from "./chapters/shared-terminal.ts";
import type { Claims } from "./claims.ts";
import { runLeaf } from "./stack.ts";
import type { World } from "./world.ts";

const SECRET = "pineapple";
/** A length that no other process sleeps, so that it can be found. */
const SLEEP = ["sleep", "1.0731"] as const;

/** Claims that {@link tellStory} makes. */
export const CLAIMS = 20;

/** Tell the story of the system, a claim after the other, each looked at from outside. */
export async function tellStory(world: World, claims: Claims): Promise<void> {
  const startedAtMs = Date.now();
  const model = world.info.standIn ? "the stand-in model" : undefined;
  await claims.check(`nothing but dispatcher${model === undefined ? "" : `, ${model}`} and hands lives`, () => atRest(world));

  const brainsBefore = world.processes("brain").length;
  const sighting = sightCommand(world, SLEEP);
  const first = world.turn(`Remember the secret word: ${SECRET}.\nRun: readlink /proc/self/ns/pid; ${SLEEP.join(" ")}`);
  // Both are looked at below; until then neither may count as unhandled.
  await Promise.allSettled([sighting, first]);
  await claims.check("a turn cold-starts a brain", async () => coldStart(world, await first, brainsBefore));
  await claims.check("its command ran in the sandbox, not in the brain", async () => sandboxed(world, await first, await sighting));
  await claims.check("the brain is gone", async () => gone(world, await first));
  await claims.check("a second turn on the same session, in a new process, recalls the secret word", async () =>
    resumed(world, await first, SECRET),
  );

  await claims.check("a brain killed with SIGKILL in the middle of a 3 s command repeats nothing and loses nothing", () => killed(world));
  await claims.check("a leaf whose brains are killed at 5 random moments has one result", () => killedOften(world));
  await claims.check("a command that a human approved while no brain lived", () => approved(world));
  await claims.check("a 20 s command during which no brain lives", () => asleep(world));
  await claims.check("output re-attached after a cut channel: every byte once, and the command ran once", () => reattached(world));
  await claims.check("a terminal shared by two watchers: the same bytes for both, and both type", () => sharedTerminal(world));
  await claims.check("five async leaves fan out and end", () => fanOut(world));
  await claims.check("a schedule's fire, each at its second and once", () => scheduled(world));
  await claims.check("a resubmission that makes nothing new", () => resubmitted(world));
  await claims.check("a cancel that kills the processes in the sandbox", () => cancelled(world));
  await claims.check("a tenant that sees nothing of another", () => apart(world));
  await claims.check("a /runs gate approved by the seed's own request", () => seedGate(world));
  await claims.check("brains cost only while they think", () => economics(world, startedAtMs));
  // A pool from here on: the dispatcher is started again for it, and counts its brains from 0.
  await runLeaf(world.info.dir, "up", "--sandboxes", "2");
  await claims.check("a session goes on in another sandbox after its own was killed", () => elsewhere(world));
  await claims.check("a sandbox that dialled in from a network without any way in runs a command", () => dialledIn(world));
}
