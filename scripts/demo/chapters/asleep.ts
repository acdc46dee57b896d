import { setTimeout as sleep } from "node:timers/promises";
import { type Finding, time } from "../claims.ts";
import { all, find, type World } from "../world.ts";

const SECONDS = 20;
const COMMAND = `echo run >> naps; for i in $(seq ${SECONDS}); do echo tick $i; sleep 1; done; echo run $(wc -l < naps) is the last`;
const SAMPLE_MS = 50;

/** A command that lasts: the brain goes meanwhile, and hands has one come when it has ended. */
export async function asleep(world: World): Promise<Finding> {
  const over = new AbortController();
  const watching = withoutBrain(world, over.signal);
  const turn = await world.turn(`Run: ${COMMAND}`, { patienceMs: 60_000 }).finally(() => over.abort());
  const absent_ms = await watching;
  const output = find(turn, "toolEnded")?.value.text ?? "";
  const lines = [...output.matchAll(/^tick \d+$/gm)].length;
  const runs = Number(/^run (\d+) is the last$/m.exec(output)?.[1] ?? Number.NaN);
  const woken = all(turn, "stateChanged").some(({ value }) => value.note === "woken");
  return {
    holds: absent_ms > (SECONDS * 1000) / 2 && lines === SECONDS && runs === 1 && woken,
    seen: `no brain lived for ${time(absent_ms)} of it; its end woke one; ${lines} of ${SECONDS} lines of output arrived, the command ran ${runs === 1 ? "once" : `${runs} times`}`,
    measured: { absent_ms, lines, lines_expected: SECONDS, runs },
  };
}

/** For how long no brain lived until `over`, from the first one on, in milliseconds: looked at from the operating system. */
async function withoutBrain(world: World, over: AbortSignal): Promise<number> {
  let absentMs = 0;
  let seen = false;
  for (let last = Date.now(); !over.aborted; await sleep(SAMPLE_MS)) {
    const now = Date.now();
    if (world.processes("brain").length > 0) seen = true;
    else if (seen) absentMs += now - last;
    last = now;
  }
  return absentMs;
}
