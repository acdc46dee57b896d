// Plain JavaScript, like exec/bare-node.mjs which imports it: reading types costs Node a third more memory, and the baselines have
// to run in a small process. Its types are in pace.d.mts.
import { setTimeout as sleep } from "node:timers/promises";

export async function paced(count, gapMs, call) {
  const samples = [];
  for (let i = 0; i < count; i++) {
    if (gapMs > 0) await sleep(gapMs);
    samples.push(await timed(call));
  }
  return samples;
}

export async function timed(call) {
  const started = performance.now();
  await call();
  return performance.now() - started;
}
