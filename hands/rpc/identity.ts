import type { ServiceImpl } from "@connectrpc/connect";
import type { IdentityService } from "@serverless-harness/proto/hands";
import type { Offer } from "../offer.ts";

/** What a sandbox says of itself. */
export interface Identity extends Offer {
  /** Names its state directory. */
  readonly stateId: string;
  readonly version: string;
}

/** The RPCs of `harness.hands.v1.IdentityService`. */
export function identityService({ stateId, labels, capacity, version }: Identity): ServiceImpl<typeof IdentityService> {
  return {
    describe: () => ({ stateId, labels: { ...labels }, capacity, version }),
  };
}
