import { type Finding, time } from "../claims.ts";
import { find, result, type Turn, type World, workers } from "../world.ts";

/** A turn on a stack without a brain: how long until one thinks, speaks and has answered. */
export async function coldStart(world: World, turn: Turn, brainsBefore: number): Promise<Finding> {
  const [worker] = workers(turn);
  const since = (atMs: number | undefined): number => Math.round((atMs ?? Number.NaN) - turn.submittedAtMs);
  const measured = {
    brain_runs_ms: since(worker?.atMs),
    first_model_request_ms: Math.round(await world.firstModelRequestMs(turn)),
    first_event_ms: since(find(turn, "modelCallStarted")?.atMs),
    answer_ms: since(turn.endedAtMs),
  };
  const complete = Object.values(measured).every(Number.isFinite);
  return {
    holds: brainsBefore === 0 && worker !== undefined && complete && result(turn) !== "",
    seen:
      `first request to the model after ${time(measured.first_model_request_ms)}, its first event at the client after ` +
      `${time(measured.first_event_ms)}, answer after ${time(measured.answer_ms)} (its command sleeps 1 s); brain: pid ${worker?.pid}`,
    measured,
  };
}
