import { type Finding, time } from "../claims.ts";
import { result, type Turn, type World, workers } from "../world.ts";

/** The next turn on the session runs in another process, and knows what the first one was told. */
export async function resumed(world: World, first: Turn, secret: string): Promise<Finding> {
  const turn = await world.turn("What was the secret word?", { spec: { sessionId: first.leaf.spec?.sessionId ?? "" } });
  const [before] = workers(first);
  const [after] = workers(turn);
  const answer = result(turn).trim();
  const answer_ms = turn.endedAtMs - turn.submittedAtMs;
  return {
    holds: answer.includes(secret) && before !== undefined && after !== undefined && before.pid !== after.pid,
    seen: `it answered ${JSON.stringify(answer)} after ${time(answer_ms)}; first brain: pid ${before?.pid}, second: pid ${after?.pid}`,
    measured: { answer_ms, first_pid: before?.pid ?? 0, second_pid: after?.pid ?? 0 },
  };
}
