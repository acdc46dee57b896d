import { checkFences } from "./fences.ts";
import { doubles, type Final, type History } from "./history.ts";
import { checkLogs } from "./logs.ts";

/** Every promise that a history breaks, in words; empty where it breaks none. */
export function violationsOf(history: History): string[] {
  return [...checkSubmits(history), ...checkFences(history), ...checkLogs(history), ...checkOrder(history)];
}

/** Acknowledged submits are there, once, and nothing is there that nobody submitted. */
function* checkSubmits({ calls, leaves }: History): Generator<string> {
  const submits = calls.filter((call) => call.op === "submit");
  const byKey = new Map<string | undefined, Set<string | undefined>>();
  for (const { key, leafId, answer } of submits) {
    if (answer !== "ok") continue;
    byKey.set(key, (byKey.get(key) ?? new Set()).add(leafId));
    if (!leaves.some((leaf) => leaf.leafId === leafId && leaf.key === key)) yield `submit ${key} was acknowledged and is gone`;
  }
  for (const [key, ids] of byKey) if (ids.size > 1) yield `submits of ${key} were told different leaves`;
  const asked = new Set(submits.map((call) => call.key));
  for (const { key, leafId } of leaves) if (!asked.has(key)) yield `leaf ${leafId} was never submitted`;
  for (const key of doubles(leaves.map((leaf) => leaf.key))) yield `submit ${key} made two leaves`;
}

/** On one session leaves run one after the other, in order of submission. */
function* checkOrder({ calls, leaves }: History): Generator<string> {
  const epochs = ({ log }: Final): number[] => log.flatMap(({ epoch }) => epoch ?? []);
  const byKey = Map.groupBy(
    calls.filter(({ op }) => op === "submit"),
    ({ key }) => key,
  );
  // Whoever submits a leaf again does so behind its place, which is between the first call and the first answer.
  const first = ({ key }: Final): number => Math.min(...(byKey.get(key) ?? []).map(({ beginMs }) => beginMs));
  const answered = ({ key }: Final): number =>
    Math.min(
      ...(byKey.get(key) ?? []).map(({ answer, endMs = Number.POSITIVE_INFINITY }) => (answer === "ok" ? endMs : Number.POSITIVE_INFINITY)),
    );
  for (const [, group] of Map.groupBy(leaves, (leaf) => leaf.sessionId)) {
    const ran = group.filter((leaf) => epochs(leaf).length > 0).sort((a, b) => Math.min(...epochs(a)) - Math.min(...epochs(b)));
    for (const [i, leaf] of ran.entries()) {
      const next = ran[i + 1];
      if (next === undefined) continue;
      if (Math.max(...epochs(leaf)) >= Math.min(...epochs(next))) yield `${next.leafId} ran before ${leaf.leafId} of its session was over`;
      if (answered(next) < first(leaf)) yield `${leaf.leafId} ran before ${next.leafId}, which was submitted earlier`;
    }
  }
}
