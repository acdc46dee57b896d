import { randomBytes } from "node:crypto";
import type { Rest } from "@serverless-harness/pi-fork";
import type { Claim, LeafStore, NewEvent } from "@serverless-harness/session";

/** A call that a command has ended may get lost, so the leaf looks for itself after this time. */
const LOOK_AGAIN_MS = 30_000;
/** The same where hands could not even be asked to call. */
const LOOK_SOON_MS = 2_000;

/**
 * Let go of a leaf that only waits, for people and for commands. `notifyEnd` has hands post a text when an exec has ended: one that fits this
 * wait only, since it wakes the leaf once and can do nothing else. Throws what the store throws.
 */
export async function suspendAtRest(
  store: LeafStore,
  claim: Claim,
  { gateIds, execIds }: Rest,
  notifyEnd: (execId: string, body: string) => Promise<void>,
  events: readonly NewEvent[],
): Promise<void> {
  if (execIds.length === 0) return store.suspend(claim, { gateIds }, "waits for a decision", events);
  const wakeKey = randomBytes(24).toString("base64url");
  const body = JSON.stringify({ leafId: claim.leaf.leafId, wakeKey });
  const asked = await Promise.allSettled(execIds.map((execId) => notifyEnd(execId, body)));
  const patienceMs = asked.some(({ status }) => status === "rejected") ? LOOK_SOON_MS : LOOK_AGAIN_MS;
  const note = gateIds.length === 0 ? "waits for a command" : "waits for a decision and a command";
  await store.suspend(claim, { gateIds, wakeKey, notBeforeMs: Date.now() + patienceMs }, note, events);
}
