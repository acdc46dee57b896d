import { type Finding, time } from "../claims.ts";
import { all, find, type Turn, type World, workers } from "../world.ts";

const TICKS = 6;
const TICK_SECONDS = 0.5;
/** Counts the runs of the command by what each leaves in the workspace. */
const COMMAND = `echo run >> runs; for i in $(seq ${TICKS}); do echo tick $i; sleep ${TICK_SECONDS}; done; echo run $(wc -l < runs) is the last`;

/** A brain dies in the middle of a command; another one goes on in that very command. */
export async function killed(world: World): Promise<Finding> {
  let brain = 0;
  let killedAtMs: number | undefined;
  const turn = await world.turn(`Run: ${COMMAND}`, {
    onEvent: ({ event }) => {
      if (event.case === "stateChanged" && event.value.worker !== undefined) brain = Number(event.value.worker.pid);
      // Output tells that the command is on its way.
      if (killedAtMs === undefined && event.case === "toolOutput" && event.value.text.includes("tick 2")) {
        process.kill(brain, "SIGKILL");
        killedAtMs = Date.now();
      }
    },
  });
  if (killedAtMs === undefined) throw new Error("no output of the command came before its end, so no brain was killed");
  return judge(turn, killedAtMs);
}

function judge(turn: Turn, killedAtMs: number): Finding {
  const [first, second, ...more] = workers(turn);
  const output = find(turn, "toolEnded")?.value.text ?? "";
  const ticks = [...output.matchAll(/^tick (\d+)$/gm)].map((match) => Number(match[1]));
  const runs = Number(/^run (\d+) is the last$/m.exec(output)?.[1] ?? Number.NaN);
  const complete = ticks.join() === Array.from({ length: TICKS }, (_, i) => i + 1).join();
  const resumed_calls = all(turn, "toolStarted").filter(({ value }) => value.resumed).length;
  const takeover_ms = (second?.atMs ?? Number.NaN) - killedAtMs;
  return {
    holds: complete && runs === 1 && second !== undefined && more.length === 0 && first?.pid !== second.pid,
    seen:
      `brain pid ${first?.pid} was killed, pid ${second?.pid} took over ${time(takeover_ms)} later; ` +
      `the command ran ${runs === 1 ? "once" : `${runs} times`}, ${ticks.length} of ${TICKS} lines of output arrived, the leaf is done`,
    measured: { runs, lines: ticks.length, lines_expected: TICKS, takeover_ms, resumed_calls },
  };
}
