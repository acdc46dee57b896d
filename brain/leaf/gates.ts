import { create } from "@bufbuild/protobuf";
import type { GateKeeper } from "@serverless-harness/pi-fork";
import { GateSchema } from "@serverless-harness/proto/leaf";
import type { Claim, LeafStore } from "@serverless-harness/session";

/** Asks at the gates of a claimed leaf, by the deadline of its own policy. */
export function askAtGates(store: LeafStore, claim: Claim): GateKeeper["ask"] {
  const { deadlineMs = 0n, onDeadline = 0 } = claim.leaf.spec?.gates ?? {};
  return async (question) => {
    // The store keeps the time of the first asking: a gate that is open already stays as it is.
    const until = deadlineMs === 0n ? 0n : BigInt(Date.now()) + deadlineMs;
    const gate = await store.openGate(claim, create(GateSchema, { ...question, deadlineMs: until, onDeadline }));
    return gate.decision;
  };
}
