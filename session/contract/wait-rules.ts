import { Validation } from "@serverless-harness/kit/validate";
import { MAX_OPEN_GATES } from "./gate-rules.ts";
import type { Wait } from "./waiting.ts";

/** Wake keys of one leaf that are remembered, sent ahead or used; beyond that the oldest is forgotten. */
export const MAX_WAKE_KEYS = 64;

/** Characters of a wake key. */
const KEY_CHARACTERS = 128;

/** Throw INVALID_ARGUMENT that names every field of a wait that is out of its limits. */
export function checkWait({ gateIds = [], wakeKey, notBeforeMs = 0 }: Wait): void {
  const validation = new Validation();
  validation.check("gate_ids", gateIds.length <= MAX_OPEN_GATES, `must be at most ${MAX_OPEN_GATES}`);
  if (wakeKey !== undefined) validation.characters("wake_key", wakeKey, 1, KEY_CHARACTERS);
  validation.range("not_before_ms", notBeforeMs, 0, Number.MAX_SAFE_INTEGER);
  validation.done();
}

/** A text that can be a wake key at all. */
export function isWakeKey(text: string): boolean {
  return text !== "" && [...text].length <= KEY_CHARACTERS;
}

/** Throw INVALID_ARGUMENT where the name of who asks for a cancel is too long, or steers whoever shows it. */
export function checkRequestedBy(requestedBy: string): void {
  const validation = new Validation();
  validation.characters("requested_by", requestedBy, 0, 256);
  validation.line("requested_by", requestedBy);
  validation.done();
}

/** Nothing is waited for. */
export function isEmptyWait({ gateIds = [], wakeKey, notBeforeMs }: Wait): boolean {
  return gateIds.length === 0 && wakeKey === undefined && notBeforeMs === undefined;
}
