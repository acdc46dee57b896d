import { type Transition, violationOf } from "./invariants.ts";
import { compareWithMirror, mirrored } from "./mirror.ts";
import type { Action, Rules, Scope, World } from "./model.ts";
import { actionsOf, step } from "./step.ts";

/** One way out of a world. */
export interface Edge {
  readonly action: Action;
  readonly to: number;
  /** It leads to the mirror of that world. */
  readonly mirrors: boolean;
  /** A live worker, the time, or somebody outside who does its duty: what progress may count on. */
  readonly fair: boolean;
}

/** Every world that can be reached, and every way between them. Of a world and its mirror one stands for both. */
export interface Graph {
  readonly worlds: readonly World[];
  readonly edges: readonly (readonly Edge[])[];
  /** For how many worlds each stands: 1 if it is its own mirror, otherwise 2. */
  readonly standsFor: readonly number[];
}

/** A promise that was broken, and how the world got there: each action as the world says it that stands for the one before it. */
export interface Violation {
  readonly what: string;
  readonly trace: readonly Action[];
}

/** Explore breadth first, checking every transition; stops at the first violation. */
export function explore(first: World, rules: Rules, scope: Scope): { graph: Graph; violation: Violation | undefined } {
  const worlds = [first];
  const known = new Map([[JSON.stringify(first), 0]]);
  const parents: (readonly [number, Action] | undefined)[] = [undefined];
  const edges: Edge[][] = [];
  const standsFor = [1];
  const traceTo = (number: number): Action[] => {
    const parent = parents[number];
    return parent === undefined ? [] : [...traceTo(parent[0]), parent[1]];
  };
  /** Where an action leads from a world. */
  const edgeTo = (world: World, from: number, action: Action): Pick<Edge, "to" | "mirrors"> => {
    const small = renumbered(world);
    const side = compareWithMirror(small);
    const kept = side > 0 ? mirrored(small) : small;
    const name = JSON.stringify(kept);
    const to = known.get(name) ?? worlds.push(kept) - 1;
    if (to === parents.length) {
      known.set(name, to);
      parents.push([from, action]);
      standsFor.push(side === 0 ? 1 : 2);
    }
    return { to, mirrors: side > 0 };
  };
  for (let i = 0; i < worlds.length; i++) {
    const before = worlds[i];
    if (before === undefined) break;
    const out: Edge[] = [];
    for (const action of actionsOf(before, scope)) {
      const { world, answer } = step(before, action, rules);
      const transition: Transition = { before, action, answer, after: world };
      const what = violationOf(transition);
      if (what !== undefined) return { graph: { worlds, edges, standsFor }, violation: { what, trace: [...traceTo(i), action] } };
      const edge = world === before ? { to: i, mirrors: false } : edgeTo(world, i, action);
      out.push({ action, ...edge, fair: isFair(before, action) });
    }
    edges.push(out);
  }
  const graph = { worlds, edges, standsFor };
  const stuck = distances(graph).indexOf(Number.POSITIVE_INFINITY);
  return { graph, violation: stuck < 0 ? undefined : { what: "a leaf can never be finished", trace: traceTo(stuck) } };
}

/** From each world, how many fair steps there are at least to one with every leaf finished. */
export function distances({ worlds, edges }: Graph): number[] {
  const into: number[][] = worlds.map(() => []);
  for (const [from, out] of edges.entries()) for (const { to, fair } of out) if (fair) into[to]?.push(from);
  const far = worlds.map(({ leaves }) => (leaves.every((leaf) => leaf.state === "done") ? 0 : Number.POSITIVE_INFINITY));
  const queue = [...far.keys()].filter((number) => far[number] === 0);
  for (const number of queue) {
    for (const from of into[number] ?? []) {
      if (far[from] !== Number.POSITIVE_INFINITY) continue;
      far[from] = (far[number] ?? 0) + 1;
      queue.push(from);
    }
  }
  return far;
}

function isFair({ dead }: World, action: Action): boolean {
  if (action.kind === "releaseWorker" || action.kind === "crash" || action.kind === "failover") return false;
  return !("worker" in action) || action.worker !== dead;
}

/**
 * The same world with small epochs. They are only compared: with the session's newest, with the newest given out and with that of the claim
 * that holds a leaf. So the smaller ones that workers come back with are all alike, and there are finitely many worlds.
 */
function renumbered(world: World): World {
  const numbers = world.epochs.map((epoch, session) => {
    const held = world.leaves.filter((leaf) => leaf.session === session).map((leaf) => leaf.epoch);
    const undo = world.undo?.before.session === session ? [world.undo.epoch, world.undo.before.epoch] : [];
    const live = [...new Set([epoch, world.issued[session] ?? 0, ...held, ...undo])].filter((each) => each > 0).sort((a, b) => a - b);
    return (each: number): number => (each === 0 ? 0 : live.includes(each) ? live.indexOf(each) + 2 : 1);
  });
  const number = (session: number, epoch: number): number => numbers[session]?.(epoch) ?? 0;
  const leaves = world.leaves.map((leaf) => ({ ...leaf, epoch: number(leaf.session, leaf.epoch) }));
  const { undo } = world;
  return {
    ...world,
    leaves,
    epochs: world.epochs.map((epoch, session) => number(session, epoch)),
    issued: world.issued.map((epoch, session) => number(session, epoch)),
    claims: world.claims.map((epoch, i) => number(leaves[i % 2]?.session ?? 0, epoch)),
    undo: undo && {
      ...undo,
      before: { ...undo.before, epoch: number(undo.before.session, undo.before.epoch) },
      epoch: number(undo.before.session, undo.epoch),
    },
  };
}
