/**
 * What the store promises about claims, as a machine of pure functions that is small enough to be explored whole: two leaves, two workers, no
 * storage, no numbers for time. Which of its rules a {@link Rules} breaks is up to whoever checks that the check can fail.
 */

/** A leaf as the store sees it. */
export interface Leaf {
  readonly session: number;
  readonly state: "absent" | "queued" | "running" | "suspended" | "retrying" | "done";
  /** Who runs it. */
  readonly worker: number | undefined;
  /** Of the claim that holds it; 0: none does. */
  readonly epoch: number;
  /** Its time came: the lease ended, or a failed attempt's wait did. */
  readonly due: boolean;
  /** Suspended until it is woken. */
  readonly waits: boolean;
  /** Taken from a worker that is known to be dead. */
  readonly lost: boolean;
  /** The wake that is sent once for it: not yet, kept for the suspend that waits for it, or used. */
  readonly wake: "unsent" | "kept" | "used";
  /** A worker has suspended it once to wait for that wake. */
  readonly waited: boolean;
}

/** The whole world: the store, and what workers hold or believe to hold. */
export interface World {
  readonly leaves: readonly Leaf[];
  /** Newest epoch of each session, as the store knows it. */
  readonly epochs: readonly number[];
  /** Newest epoch of each session that anybody was ever given. */
  readonly issued: readonly number[];
  /** The epoch of the last claim of worker w on leaf l, at w * 2 + l, kept for ever: a worker may come back with it at any time. 0: none. */
  readonly claims: readonly number[];
  /** The worker that died. What it had sent may still arrive; it does nothing new. */
  readonly dead: number | undefined;
  /** What a failover takes back: the last step, where it was a claim. */
  readonly undo: { readonly leaf: number; readonly before: Leaf; readonly epoch: number } | undefined;
  /** There was a failover, or there is none to come. */
  readonly failedOver: boolean;
}

/** A step of a worker, of the time, of somebody outside, or of misfortune. */
export type Action =
  | { readonly kind: "submit" | "expire" | "comeDue" | "wake"; readonly leaf: number }
  | { readonly kind: "claim" | "crash" | "releaseWorker"; readonly worker: number }
  | { readonly kind: Write; readonly worker: number; readonly leaf: number }
  | { readonly kind: "failover" };

/** What a worker does with a claim. */
export const WRITES = ["heartbeat", "append", "finish", "retry", "release", "suspend"] as const;
export type Write = (typeof WRITES)[number];

/** What the store answers. */
export type Answer =
  | "ok"
  | "stale"
  | "nothing"
  | boolean
  | number
  | { readonly leaf: number; readonly epoch: number; readonly takeover: boolean };

/** The decisions of the store. */
export interface Rules {
  /** The claim of `epoch` on `leaf` may do this. */
  owns(world: World, leaf: number, epoch: number, write: Write): boolean;
  /** The leaf is the first of its session that is not over. */
  isFirst(world: World, leaf: number): boolean;
  /** Nothing but its place in its session keeps the leaf from being claimed. */
  isReady(leaf: Leaf): boolean;
  nextEpoch(world: World, session: number): number;
  /** What a wake becomes that comes while nothing waits for it. */
  readonly keptWake: Leaf["wake"];
  /** Suspending goes by whether the wake came before. */
  readonly looksForWake: boolean;
  /** The leaf is taken from the worker that died. */
  isLost(leaf: Leaf, worker: number): boolean;
}

/** The rules as the store has them. */
export const RULES: Rules = {
  owns: ({ leaves, epochs }, number, epoch) => {
    const leaf = leaves[number];
    return leaf?.state === "running" && leaf.epoch === epoch && epochs[leaf.session] === epoch;
  },
  isFirst: ({ leaves }, number) => leaves.findIndex((each) => each.session === leaves[number]?.session && each.state !== "done") === number,
  isReady: (leaf) =>
    leaf.state === "queued" ||
    (leaf.state === "suspended" && !leaf.waits) ||
    ((leaf.state === "running" || leaf.state === "retrying") && leaf.due),
  // Epochs are the time, so that one that was given out never comes back, whatever the store forgot.
  nextEpoch: ({ epochs, issued }, session) => Math.max(epochs[session] ?? 0, issued[session] ?? 0) + 1,
  keptWake: "kept",
  looksForWake: true,
  isLost: (leaf, worker) => leaf.state === "running" && leaf.worker === worker,
};

/** Which misfortunes and methods there are. */
export interface Scope {
  readonly suspend: boolean;
  readonly crash: boolean;
  readonly failover: boolean;
}

/** Two leaves on these sessions that nobody submitted yet, two workers. */
export function firstWorld(sessions: readonly number[], { failover }: Scope): World {
  const leaf = {
    state: "absent",
    worker: undefined,
    epoch: 0,
    due: false,
    waits: false,
    lost: false,
    wake: "unsent",
    waited: false,
  } as const;
  return {
    leaves: sessions.map((session) => ({ ...leaf, session })),
    epochs: [0, 0],
    issued: [0, 0],
    claims: [0, 0, 0, 0],
    dead: undefined,
    undo: undefined,
    failedOver: !failover,
  };
}
