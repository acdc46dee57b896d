import type { Finding } from "../claims.ts";
import { all, find, type Turn, type World, workers } from "../world.ts";

const TICKS = 6;
const TICK_SECONDS = 0.5;
/** Counts the runs of the command by what each leaves in the workspace. */
const COMMAND = `echo run >> runs; for i in $(seq ${TICKS}); do echo tick $i; sleep ${TICK_SECONDS}; done; echo run $(wc -l < runs) is the last`;

/** A brain dies in the middle of a command; another one goes on in that very command. */
export async function killed(world: World): Promise<Finding> {
  let victim = 0;
  const turn = await world.turn(`Run: ${COMMAND}`, "", ({ event }) => {
    if (event.case === "stateChanged" && event.value.worker !== undefined && victim === 0) victim = Number(event.value.worker.pid);
    // The first output tells that the command is on its way.
    if (event.case === "toolOutput" && event.value.text.includes("tick 2") && victim > 0) {
      process.kill(victim, "SIGKILL");
      victim = -victim;
    }
  });
  return { ...judge(turn), holds: victim < 0 && judge(turn).holds };
}

function judge(turn: Turn): Finding {
  const brains = workers(turn);
  const output = find(turn, "toolEnded")?.value.text ?? "";
  const ticks = [...output.matchAll(/^tick (\d+)$/gm)].map((match) => Number(match[1]));
  const runs = Number(/^run (\d+) is the last$/m.exec(output)?.[1] ?? Number.NaN);
  const complete = ticks.join() === Array.from({ length: TICKS }, (_, i) => i + 1).join();
  const resumed = all(turn, "toolStarted").filter(({ value }) => value.resumed).length;
  const [first, second] = brains;
  return {
    holds: complete && runs === 1 && brains.length === 2 && first?.pid !== second?.pid,
    seen:
      `brain pid ${first?.pid} was killed, pid ${second?.pid} went on ${Math.round((second?.atMs ?? 0) - (first?.atMs ?? 0))} ms after the first had begun; ` +
      `the command ran ${runs} time, ${ticks.length} of ${TICKS} lines arrived, the leaf is done`,
    measured: { runs, lines: ticks.length, lines_expected: TICKS, brains: brains.length, resumed_calls: resumed },
  };
}
