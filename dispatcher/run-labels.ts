import type { Leaf } from "@serverless-harness/proto/leaf";

const API = "api";
const RUN = "runs/run";
const ASKED = "runs/asked";

/** Labels of a leaf that `/runs` submitted; with its place among those of its session, and the questions that the ones before it asked. */
export function runLabels(run?: number, asked?: number): Record<string, string> {
  return {
    [API]: "runs",
    ...(run === undefined ? {} : { [RUN]: String(run) }),
    ...(asked === undefined ? {} : { [ASKED]: String(asked) }),
  };
}

/** `/runs` submitted it. */
export function isRun(leaf: Leaf): boolean {
  return leaf.spec?.labels[API] === "runs";
}

/** A run's place among those of its session, from 0. */
export function runOf(leaf: Leaf): number {
  return Number(leaf.spec?.labels[RUN] ?? 0);
}

/** Questions that earlier runs of its session asked. */
export function askedBefore(leaf: Leaf): number {
  return Number(leaf.spec?.labels[ASKED] ?? 0);
}
