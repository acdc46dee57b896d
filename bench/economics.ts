import { setTimeout as sleep } from "node:timers/promises";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { brainSeconds, type Life, Lifetimes, requireNone } from "./economics/lifetimes.ts";
import { type Turn, takeTurns, type Workload } from "./economics/turns.ts";
import { brainsWhileWaiting, ENDING_MS, type Waits } from "./economics/waits.ts";
import { type Stack, startStack } from "./parts/stack.ts";
import { Samples } from "./report/samples.ts";

/** E1's workload, and what `--quick` takes of it. */
const IDLE_HEAVY: Workload = { turns: 5, gapMs: 60_000, modelMs: 2000 };
const QUICK: Workload = { turns: 3, gapMs: 10_000, modelMs: 2000 };
const GRACE_MS = 2000;
/** The longest that a brain's grace can be: it stays for the whole run. */
const ALWAYS_MS = 3_600_000;

const WAITS: Waits = { gateMs: 60_000, toolMs: 35_000, sleepAfterMs: 10_000, graceMs: GRACE_MS };
const QUICK_WAITS: Waits = { gateMs: 5000, toolMs: 10_000, sleepAfterMs: 1000, graceMs: 1000 };

/** Seconds that brains live for: an agent that is mostly idle next to one whose brain stays, then during a gate and a long command. */
export const economics: Benchmark = async (options) => {
  const samples = new Samples();
  // They mostly wait, so they do it at the same time, each on a stack of its own. One that fails leaves the others to clear up.
  const measured = [measureIdleHeavy(options, samples), measureAlwaysOn(options, samples), measureWaits(options, samples)];
  for (const result of await Promise.allSettled(measured)) if (result.status === "rejected") throw result.reason;
  return samples.report("economics", { "idle_heavy/always_on": ["brain_s_idle_heavy", "brain_s_always_on"] });
};

async function measureIdleHeavy(options: BenchmarkOptions, samples: Samples): Promise<void> {
  await onStack(options, { BRAIN_GRACE_MS: String(GRACE_MS) }, async (stack, lifetimes) => {
    const workload = options.quick ? QUICK : IDLE_HEAVY;
    const turns = await takeTurns(stack, workload, (turn) => options.progress(`turn ${turn} of ${workload.turns}`));
    const lives = lifetimes.lives();
    for (const { toMs } of turns) {
      const gap = { fromMs: toMs + GRACE_MS + ENDING_MS, toMs: toMs + workload.gapMs };
      requireNone(lives, gap, "between two turns");
    }
    if (lives.length !== turns.length) throw new Error(`${lives.length} brains lived for ${turns.length} turns`);
    const whole = { fromMs: 0, toMs: Number.POSITIVE_INFINITY };
    samples.add("brain_s_idle_heavy", [wholeWorkload(brainSeconds(lives, whole), workload, 0)]);
    addParts(turns, lives, samples);
  });
}

/** Where a turn's brain-seconds go: until the model is asked, its answer, from the answer to the turn's end, until the process is gone. */
function addParts(turns: readonly Turn[], lives: readonly Life[], samples: Samples): void {
  for (const [index, { requestMs, toMs }] of turns.entries()) {
    const life = lives[index] ?? { fromMs: requestMs, toMs };
    samples.add("brain_s_turn", [(life.toMs - life.fromMs) / 1000]);
    samples.add("brain_s_start", [(requestMs - life.fromMs) / 1000]);
    samples.add("brain_s_answer", [(toMs - requestMs) / 1000]);
    samples.add("brain_s_grace", [(life.toMs - toMs) / 1000]);
  }
}

async function measureAlwaysOn(options: BenchmarkOptions, samples: Samples): Promise<void> {
  await onStack(options, { BRAIN_GRACE_MS: String(ALWAYS_MS) }, async (stack, lifetimes) => {
    const workload = options.quick ? QUICK : IDLE_HEAVY;
    // In the other one's gaps, so that neither holds the other up.
    await sleep(workload.gapMs / 2);
    const turns = await takeTurns(stack, workload, () => undefined);
    const whole = { fromMs: turns[0]?.fromMs ?? 0, toMs: Number.POSITIVE_INFINITY };
    const seconds = brainSeconds(lifetimes.lives(), whole);
    samples.add("brain_s_always_on", [wholeWorkload(seconds, workload, IDLE_HEAVY.gapMs - workload.gapMs)]);
  });
}

/** Of a part of the workload what the whole comes to; `missingMs` is what a brain would have lived for longer in a gap of the whole's length. */
export function wholeWorkload(seconds: number, { turns }: Workload, missingMs: number): number {
  return (seconds / turns + missingMs / 1000) * IDLE_HEAVY.turns;
}

async function measureWaits(options: BenchmarkOptions, samples: Samples): Promise<void> {
  const waits = options.quick ? QUICK_WAITS : WAITS;
  const settings = { BRAIN_GRACE_MS: String(waits.graceMs), BRAIN_SLEEP_AFTER_MS: String(waits.sleepAfterMs) };
  await onStack(options, settings, async (stack, lifetimes) => {
    const { gate, tool } = await brainsWhileWaiting(stack, lifetimes, waits);
    const lives = lifetimes.lives();
    for (const [name, stretch] of [["gate", gate] as const, ["tool", tool] as const]) {
      requireNone(lives, stretch, `while a leaf waited for its ${name}`);
      samples.add(`brain_s_${name}`, [brainSeconds(lives, stretch)]);
    }
  });
}

async function onStack(
  { jail }: BenchmarkOptions,
  settings: Readonly<Record<string, string>>,
  use: (stack: Stack, lifetimes: Lifetimes) => Promise<void>,
): Promise<void> {
  const stack = await startStack(jail, settings);
  const lifetimes = new Lifetimes(stack.dispatcherPid);
  try {
    await use(stack, lifetimes);
  } finally {
    lifetimes.stop();
    await stack.close();
  }
}
