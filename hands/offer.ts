import type { EnvReader } from "@serverless-harness/kit/env";
import { readSandboxLabels } from "@serverless-harness/kit/sandbox-labels";

/** What this sandbox offers a pool of them; whoever keeps the pool heeds it. */
export interface Offer {
  /** What leaves may ask for in a sandbox. */
  readonly labels: Readonly<Record<string, string>>;
  /** Sessions that may have a brain or a running command here at once. 0: any number. */
  readonly capacity: number;
}

/** As a pool's store takes it. */
const MAX_CAPACITY = 100_000;

/** Read what this sandbox offers. */
export function readOffer(env: EnvReader): Offer {
  const labels = readSandboxLabels(env.string("HANDS_LABELS", ""));
  if (typeof labels === "string") env.problem(`HANDS_LABELS can't be used: ${labels}`);
  return { labels: typeof labels === "string" ? {} : labels, capacity: env.integer("HANDS_CAPACITY", 0, 0, MAX_CAPACITY) };
}
