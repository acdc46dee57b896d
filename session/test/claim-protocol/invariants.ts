import type { Action, Answer, World } from "./model.ts";

/** One step: what was before, what was answered, what is afterwards. */
export interface Transition {
  readonly before: World;
  readonly action: Action;
  readonly answer: Answer;
  readonly after: World;
}

/** What every transition must keep; the text says what is broken. */
export function violationOf(transition: Transition): string | undefined {
  return claims(transition) ?? writes(transition) ?? releases(transition) ?? ends(transition) ?? sessions(transition);
}

function claims({ before, action, answer, after }: Transition): string | undefined {
  if (action.kind !== "claim" || typeof answer !== "object") return undefined;
  const leaf = before.leaves[answer.leaf];
  if (leaf === undefined) return "a leaf that nobody submitted was claimed";
  if (answer.epoch <= (before.issued[leaf.session] ?? 0)) return "an epoch was given out twice";
  if (leaf.state === "running" && !leaf.due) return "a leaf was taken from under a live lease";
  if (leaf.state === "done") return "a finished leaf was claimed";
  if (leaf.waits) return "a leaf was claimed that waits";
  const earlier = before.leaves.slice(0, answer.leaf).some(({ session, state }) => session === leaf.session && state !== "done");
  if (earlier) return "a leaf was claimed before an earlier one of its session";
  return after.leaves[answer.leaf]?.worker === action.worker ? undefined : "a leaf was claimed for another worker";
}

function writes({ before, action, answer }: Transition): string | undefined {
  if (!("worker" in action && "leaf" in action) || answer !== "ok") return undefined;
  const leaf = before.leaves[action.leaf];
  const epoch = before.claims[action.worker * 2 + action.leaf];
  if (leaf?.state === "done") return "a finished leaf was written";
  if (leaf?.state !== "running") return "a leaf was written that nobody holds";
  return epoch === before.epochs[leaf.session] && epoch === leaf.epoch ? undefined : "a write of an old epoch was accepted";
}

function releases({ before, action, after }: Transition): string | undefined {
  if (action.kind !== "releaseWorker") return undefined;
  const wrong = before.leaves.some((leaf, i) => leaf !== after.leaves[i] && leaf.worker !== action.worker);
  return wrong ? "a leaf was taken from a worker that lives" : undefined;
}

function ends({ before, after }: Transition): string | undefined {
  const undone = before.leaves.some((leaf, i) => leaf.state === "done" && after.leaves[i]?.state !== "done");
  return undone ? "a finished leaf did not stay finished" : undefined;
}

function sessions({ after: { leaves, claims } }: Transition): string | undefined {
  for (const [i, leaf] of leaves.entries()) {
    if (leaf.state === "running" && leaves.some((other, j) => j > i && other.session === leaf.session && other.state === "running")) {
      return "two leaves of one session ran at once";
    }
    // Old epochs are all written as 1.
    if ((claims[i] ?? 0) > 1 && claims[i] === claims[2 + i]) return "a leaf was owned twice in one epoch";
  }
  return undefined;
}
