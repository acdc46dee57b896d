import type { LeafEvent } from "@serverless-harness/proto/leaf";

/** Shows a leaf's events to a human. */
export interface EventView {
  show(event: LeafEvent): void;
  /** The leaf is over. */
  end(): void;
}
