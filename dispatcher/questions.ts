import type { Gate, Leaf } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { askedBefore } from "./run-labels.ts";

const PAGE = 1000;

/** A question that waits for its answer, by its place among all of its session, from 0. */
export interface Question {
  readonly number: number;
  readonly gate: Gate;
}

/** Ids of all gates that a leaf ever opened, in order. */
export async function askedIn(store: Pick<LeafStore, "events">, leafId: string): Promise<string[]> {
  const asked: string[] = [];
  for (let after = 0n; ; ) {
    const events = await store.events(leafId, after, PAGE);
    for (const { event } of events) if (event.case === "gateOpened" && event.value.gate !== undefined) asked.push(event.value.gate.gateId);
    const last = events.at(-1);
    if (last === undefined || events.length < PAGE) return asked;
    after = last.seq;
  }
}

/** The questions of a leaf that wait for an answer, oldest first. */
export async function openQuestions(store: Pick<LeafStore, "events">, leaf: Leaf): Promise<Question[]> {
  if (leaf.openGates.length === 0) return [];
  const asked = await askedIn(store, leaf.leafId);
  return leaf.openGates.map((gate) => ({ number: askedBefore(leaf) + asked.indexOf(gate.gateId), gate }));
}
