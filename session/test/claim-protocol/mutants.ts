import { RULES, type Rules, type Write } from "./model.ts";

/** Stores that break one rule each: what the check has to find, and what it says then. */
export const MUTANTS: Readonly<Record<string, { readonly rules: Rules; readonly found: string }>> = {
  ...Object.fromEntries(
    (["heartbeat", "append", "finish", "retry", "release", "suspend"] as const).map((write) => [
      `${write} looks at the leaf's state and not at the epoch`,
      { rules: withoutEpoch(write), found: "a write of an old epoch was accepted" },
    ]),
  ),
  "finish looks at the epoch and not at the leaf's state": {
    rules: {
      ...RULES,
      owns: ({ leaves, epochs }, number, epoch) => {
        const leaf = leaves[number];
        return (leaf?.state === "running" || leaf?.state === "done") && epochs[leaf.session] === epoch;
      },
    },
    found: "a finished leaf was written",
  },
  "a claim does not look at the lease": {
    rules: { ...RULES, isReady: (leaf) => leaf.state === "running" || RULES.isReady(leaf) },
    found: "a leaf was taken from under a live lease",
  },
  "a claim does not look at the wait": {
    rules: { ...RULES, isReady: (leaf) => leaf.state === "suspended" || RULES.isReady(leaf) },
    found: "a leaf was claimed that waits",
  },
  "a claim leaves the epoch as it is": {
    rules: { ...RULES, nextEpoch: ({ epochs }, session) => Math.max(1, epochs[session] ?? 0) },
    found: "an epoch was given out twice",
  },
  "a claim counts the epoch up, and a failover forgets the last count": {
    rules: { ...RULES, nextEpoch: ({ epochs }, session) => (epochs[session] ?? 0) + 1 },
    found: "an epoch was given out twice",
  },
  "a claim does not look at earlier leaves of the session": {
    rules: { ...RULES, isFirst: () => true },
    found: "a leaf was claimed before an earlier one of its session",
  },
  "a leaf that waits lets those behind it pass": {
    rules: {
      ...RULES,
      isFirst: ({ leaves }, number) =>
        leaves.findIndex((leaf) => leaf.session === leaves[number]?.session && leaf.state !== "done" && !leaf.waits) === number,
    },
    found: "a leaf was claimed before an earlier one of its session",
  },
  "a lease that ended leaves the leaf to its worker": {
    rules: { ...RULES, isReady: (leaf) => leaf.state !== "running" && RULES.isReady(leaf) },
    found: "a leaf can never be finished",
  },
  "a failed attempt's leaf never comes due": {
    rules: { ...RULES, isReady: (leaf) => leaf.state !== "retrying" && RULES.isReady(leaf) },
    found: "a leaf can never be finished",
  },
  "a wake is forgotten that comes before its suspend": {
    rules: { ...RULES, keptWake: "used" },
    found: "a leaf can never be finished",
  },
  "suspend does not look for a wake that came before": {
    rules: { ...RULES, looksForWake: false },
    found: "a leaf can never be finished",
  },
  "a dead worker's leaves are taken from whoever holds them": {
    rules: { ...RULES, isLost: (leaf) => leaf.state === "running" },
    found: "a leaf was taken from a worker that lives",
  },
};

function withoutEpoch(unchecked: Write): Rules {
  return {
    ...RULES,
    owns: (world, leaf, epoch, write) =>
      RULES.owns(world, leaf, epoch, write) || (write === unchecked && world.leaves[leaf]?.state === "running"),
  };
}
