import { LeafState } from "@serverless-harness/proto/leaf";
import type { Finding } from "../claims.ts";
import { all, find, type World, workers } from "../world.ts";

const KILLS = 5;
const LINES = 12;
/** A brain is killed within this time of its claim: before, during and after its model's answer, and in the command. */
const WITHIN_MS = 900;
const COMMAND = `echo run >> lives; for i in $(seq ${LINES}); do echo tick $i; sleep 0.5; done; echo run $(wc -l < lives) is the last`;

/** One brain after the other is killed at a random moment, and the leaf has one result. */
export async function killedOften(world: World): Promise<Finding> {
  const kills: Array<Promise<void>> = [];
  const turn = await world.turn(`Run: ${COMMAND}`, {
    patienceMs: 60_000,
    onEvent: ({ event }) => {
      if (event.case === "stateChanged" && event.value.worker !== undefined && kills.length < KILLS)
        kills.push(kill(Number(event.value.worker.pid)));
    },
  });
  await Promise.all(kills);
  const output = find(turn, "toolEnded")?.value.text ?? "";
  const lines = [...output.matchAll(/^tick \d+$/gm)].length;
  const runs = Number(/^run (\d+) is the last$/m.exec(output)?.[1] ?? Number.NaN);
  const results = all(turn, "stateChanged").filter(({ value }) => value.state === LeafState.DONE).length;
  const brains = new Set(workers(turn).map(({ pid }) => pid)).size;
  return {
    holds: kills.length === KILLS && brains === KILLS + 1 && runs === 1 && lines === LINES && results === 1,
    seen: `${kills.length} brains were killed, ${brains} worked on it; the command ran ${runs === 1 ? "once" : `${runs} times`}, ${lines} of ${LINES} lines arrived, ${results} result`,
    measured: { kills: kills.length, brains, runs, lines, lines_expected: LINES, results },
  };
}

function kill(pid: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(() => {
      process.kill(pid, "SIGKILL");
      resolve();
    }, Math.random() * WITHIN_MS);
  });
}
