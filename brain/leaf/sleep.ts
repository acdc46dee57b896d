import { randomBytes } from "node:crypto";
import type { Rest } from "@serverless-harness/pi-fork";
import type { Claim, LeafStore, NewEvent } from "@serverless-harness/session";

/** A call that a command has ended may get lost, so the leaf looks for itself after this time, and at least this often. */
const LOOK_AGAIN_MS = 60_000;
const LOOK_AT_LEAST_MS = 480_000;
/** The same if hands could not even be asked to call. */
const LOOK_SOON_MS = 2_000;
/** How soon a leaf looks again for room in the pool of sandboxes, on average. */
const ROOM_WAIT_MS = 1500;

/**
 * Let go of a leaf that only waits, for people and for commands. `notifyEnd` has hands post a text when an exec has ended: one that fits this
 * wait only, since it wakes the leaf once and can do nothing else; `keepRoom` keeps the commands' room in their sandbox until the leaf looks for itself. Throws
 * what the store throws.
 */
export async function suspendAtRest(
  store: LeafStore,
  claim: Claim,
  { gateIds, execIds, silentMs }: Rest,
  {
    notifyEnd,
    keepRoom,
  }: { readonly notifyEnd: (execId: string, body: string) => Promise<void>; readonly keepRoom: (ms: number) => Promise<void> },
  events: readonly NewEvent[],
): Promise<void> {
  if (execIds.length === 0) return store.suspend(claim, { gateIds }, "waits for a decision", events);
  const wakeKey = randomBytes(24).toString("base64url");
  const body = JSON.stringify({ leafId: claim.leaf.leafId, wakeKey });
  const asked = await Promise.allSettled(execIds.map((execId) => notifyEnd(execId, body)));
  const patienceMs = asked.some(({ status }) => status === "rejected") ? LOOK_SOON_MS : lookAgainAfter(claim.leaf.claims);
  const waits = gateIds.length === 0 ? "waits for a command" : "waits for a decision and a command";
  const note = silentMs < 1000 ? waits : `${waits} that has written nothing for ${inWords(silentMs)}`;
  // First: nobody takes the room of a command that runs, whoever dies in between.
  await keepRoom(patienceMs);
  await store.suspend(claim, { gateIds, wakeKey, notBeforeMs: Date.now() + patienceMs }, note, events);
}

/** A time as a person reads it: in seconds up to two minutes, then in minutes. */
function inWords(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return seconds === 1 ? "a second" : `${seconds} seconds`;
  return `${Math.floor(seconds / 60)} minutes`;
}

/** How long a leaf waits for the session that it forks to begin, before it looks again: twice as long with each claim, up to half a minute. */
export function sourcePatience(claims: number): number {
  return Math.min(500 * 2 ** Math.min(claims, 10), 30_000);
}

/** How long a leaf waits that found no room in the pool of sandboxes: those that wait do not all come back at once. */
export function roomPatience(): number {
  return ROOM_WAIT_MS * (0.5 + Math.random());
}

/**
 * Each look takes a brain for its start and its grace time, so a leaf that was claimed again and again waits twice as long each time: a call that is
 * lost costs about as much again as the command has run.
 */
export function lookAgainAfter(claims: number): number {
  return Math.min(LOOK_AGAIN_MS * 2 ** Math.max(0, claims - 1), LOOK_AT_LEAST_MS);
}
