import type { Tombstone } from "@serverless-harness/proto/leaf";
import { isoTime } from "./format.ts";
import { stateName } from "./names.ts";

/** What is left of a leaf, for a human. */
export function tombstoneText({ leafId, state, expiredAtMs }: Tombstone): string {
  return `${leafId} ended as ${stateName(state)}; its record was kept until ${isoTime(expiredAtMs)}`;
}
