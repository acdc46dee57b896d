import { Validation } from "@serverless-harness/kit/validate";
import type { ScaledObjectRef } from "@serverless-harness/proto/scaler";

/** As many leaves as a brain runs at once by default (BRAIN_CONCURRENCY). */
const LEAVES_PER_BRAIN = 50;
const MAX_LEAVES_PER_BRAIN = 1000;
const OURS = "leavesPerBrain";
/** What KEDA itself reads of an external trigger's metadata, and passes on with the rest. */
const OF_KEDA: ReadonlySet<string> = new Set(
  ["scalerAddress", "enableTLS", "unsafeSsl", "caCert", "tlsCertFile", "tlsClientCert", "tlsClientKey"], //
);

/** How many leaves one brain takes, by a trigger's metadata. INVALID_ARGUMENT lists what is wrong with it. */
export function leavesPerBrain(object: ScaledObjectRef | undefined): number {
  const v = new Validation();
  const metadata = object?.scalerMetadata ?? {};
  for (const key of Object.keys(metadata)) {
    if (key !== OURS && !OF_KEDA.has(key))
      v.fail(fieldOf(key), `is not known: the dispatcher takes ${OURS}, and leaves alone ${[...OF_KEDA].join(", ")}`);
  }
  const text = metadata[OURS] ?? String(LEAVES_PER_BRAIN);
  const leaves = Number(text);
  const isCount = /^\d+$/.test(text) && leaves >= 1 && leaves <= MAX_LEAVES_PER_BRAIN;
  v.check(fieldOf(OURS), isCount, `must be a whole number from 1 to ${MAX_LEAVES_PER_BRAIN}`);
  v.done();
  return leaves;
}

function fieldOf(key: string): string {
  return `scalerMetadata.${key.slice(0, 64)}`;
}
