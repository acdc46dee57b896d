import { distances, type Graph } from "./explore.ts";
import { mirroredAction } from "./mirror.ts";
import type { Action } from "./model.ts";

/** One way through the machine from its first world to one with every leaf finished. */
export type Walk = readonly {
  readonly action: Action;
  readonly to: number;
  /** What stands for the world that it leads to is that world's mirror. */
  readonly inMirror: boolean;
}[];

/** Walks that together take every transition there is: each goes to the nearest one that is left, until none can be reached, then to the end. */
export function coveringWalks(graph: Graph): Walk[] {
  const left = graph.edges.map((out) => new Set(out.keys()));
  const far = distances(graph);
  const walks: Walk[] = [];
  for (;;) {
    const walk: Walk[number][] = [];
    let at = 0;
    let inMirror = false;
    const take = (index: number): void => {
      const edge = graph.edges[at]?.[index];
      if (edge === undefined) throw new Error("a walk left the graph");
      left[at]?.delete(index);
      const action = inMirror ? mirroredAction(edge.action) : edge.action;
      inMirror = inMirror !== edge.mirrors;
      walk.push({ action, to: edge.to, inMirror });
      at = edge.to;
    };
    for (let path = nearest(graph, left, at); path !== undefined; path = nearest(graph, left, at)) for (const index of path) take(index);
    if (walk.length === 0) return walks;
    while (far[at] !== 0) take(graph.edges[at]?.findIndex(({ to, fair }) => fair && (far[to] ?? 0) < (far[at] ?? 0)) ?? -1);
    walks.push(walk);
  }
}

/** The shortest way from a world over a transition that is left: the number of the edge to take from each world. */
function nearest({ edges }: Graph, left: readonly ReadonlySet<number>[], start: number): number[] | undefined {
  const came = new Map<number, readonly [from: number, index: number] | undefined>([[start, undefined]]);
  for (const world of came.keys()) {
    for (const index of left[world] ?? []) {
      const path = [index];
      for (let step = came.get(world); step !== undefined; step = came.get(step[0])) path.unshift(step[1]);
      return path;
    }
    for (const [index, { to }] of (edges[world] ?? []).entries()) if (!came.has(to)) came.set(to, [world, index]);
  }
  return undefined;
}
