import type { Action, World } from "./model.ts";

/**
 * The two workers differ by their names alone, so what holds in a world holds in its mirror, where each has the other's place. One of the two is
 * enough to look at.
 */
export function mirrored(world: World): World {
  const { leaves, claims, dead, undo } = world;
  return {
    ...world,
    leaves: leaves.map((leaf) => ({ ...leaf, worker: otherWorker(leaf.worker) })),
    claims: [...claims.slice(2), ...claims.slice(0, 2)],
    dead: otherWorker(dead),
    undo: undo && { ...undo, before: { ...undo.before, worker: otherWorker(undo.before.worker) } },
  };
}

/** An action as the mirror has it. */
export function mirroredAction(action: Action): Action {
  return "worker" in action ? { ...action, worker: 1 - action.worker } : action;
}

/** Below 0: the world stands for its mirror; above 0: the mirror does; 0: it is its own. Only what names a worker is compared. */
export function compareWithMirror({ claims, leaves, dead, undo }: World): number {
  for (let leaf = 0; leaf < 2; leaf++) {
    const difference = (claims[leaf] ?? 0) - (claims[2 + leaf] ?? 0);
    if (difference !== 0) return difference;
  }
  // The first worker that is named anywhere decides.
  for (const worker of [dead, undo?.before.worker, ...leaves.map((leaf) => leaf.worker)])
    if (worker !== undefined) return worker === 0 ? -1 : 1;
  return 0;
}

function otherWorker(worker: number | undefined): number | undefined {
  return worker === undefined ? undefined : 1 - worker;
}
