import { HandsClient, type WorkspaceClient } from "@serverless-harness/hands/client";
import { residentBytes } from "@serverless-harness/kit/proc";
import { BareNode } from "./baseline/bare-node.ts";
import { inFreshNode } from "./baseline/fresh.ts";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { besideBulk, echo, readBytes } from "./exec/calls.ts";
import { KubernetesExec } from "./kubernetes/exec-client.ts";
import { paced, timed } from "./pace.mjs";
import { type Sandbox, startSandbox } from "./parts/sandbox.ts";
import { Samples } from "./report/samples.ts";

/** Pause between two commands of an agent, in milliseconds. */
const GAP_MS = 10;
/** Commands in a block, of ours or of a baseline. */
const BLOCK = 25;
const BURST = 64;
const BULK_BYTES = 100e6;
/** Runs of {@link BULK_BYTES}: a gigabyte in all, behind which the daemon's memory is read. */
const BULK_RUNS = 10;
const WARM_UP = 50;
/** A quick run takes no new round of commands behind this many milliseconds, except for the first ones. */
const QUICK_MS = 20_000;
const FEWEST_ROUNDS = 3;

/** `echo hi` over the warm channel against a local spawn, bursts, bulk output, and the daemon's memory behind a gigabyte. */
export const exec: Benchmark = async (options) => {
  const sandbox = await startSandbox(options.jail);
  const client = new HandsClient({ address: sandbox.address });
  const kubernetes = await KubernetesExec.start();
  const samples = new Samples();
  try {
    const workspace = client.workspace("bench/exec", 1n);
    await workspace.create();
    await paced(WARM_UP, 0, () => echo(workspace));
    samples.add("rss_rest_mb", [residentBytes(sandbox.daemonPid()) / 1e6]);
    await measureCommands(workspace, kubernetes, options, samples);
    await measureBulk(workspace, sandbox, options, samples);
  } finally {
    client.close();
    await kubernetes.close();
    await sandbox.close();
  }
  return samples.report("exec", {
    "echo/local_spawn": ["echo_ms", "local_spawn_ms"],
    "echo_tight/local_spawn": ["echo_tight_ms", "local_spawn_tight_ms"],
    "burst_64/local_spawn": ["burst_64_per_s", "local_spawn_burst_64_per_s"],
    "echo_beside_bulk/echo": ["echo_beside_bulk_ms", "echo_ms"],
    "bulk/pipe": ["bulk_mb_s", "pipe_mb_s"],
    "echo/warm_shell": ["echo_ms", "warm_shell_ms"],
    "echo/k8s_exec": ["echo_ms", "k8s_exec_ms"],
  });
};

/** Rounds of short blocks, ours and each baseline in turn, so that what disturbs the machine disturbs all of them. */
async function measureCommands(
  workspace: WorkspaceClient,
  kubernetes: KubernetesExec,
  { quick, progress }: BenchmarkOptions,
  samples: Samples,
): Promise<void> {
  const rounds = quick ? 8 : 40;
  const call = (): Promise<void> => echo(workspace);
  const burst = (): Promise<unknown> => Promise.all(Array.from({ length: BURST }, call));
  const sizes: number[] = [];
  const perSecond = (milliseconds: readonly number[]): number[] => milliseconds.map((ms) => BURST / (ms / 1000));
  const started = performance.now();
  for (let round = 1; round <= rounds; round++) {
    if (quick && round > FEWEST_ROUNDS && performance.now() - started > QUICK_MS) break;
    progress(`commands: round ${round} of ${rounds}`);
    samples.add("echo_ms", await paced(BLOCK, GAP_MS, call));
    samples.add("local_spawn_ms", await inFreshNode({ kind: "spawn", count: BLOCK, gapMs: GAP_MS }, sizes));
    samples.add("echo_tight_ms", await paced(BLOCK, 0, call));
    samples.add("local_spawn_tight_ms", await inFreshNode({ kind: "spawn", count: BLOCK, gapMs: 0 }, sizes));
    samples.add("burst_64_per_s", perSecond([await timed(burst)]));
    samples.add("local_spawn_burst_64_per_s", perSecond(await inFreshNode({ kind: "burst", count: BURST }, sizes)));
    samples.add("echo_beside_bulk_ms", await besideBulk(workspace, () => paced(BLOCK, GAP_MS, call)));
    samples.add("warm_shell_ms", await inFreshNode({ kind: "shell", count: BLOCK, gapMs: GAP_MS }, sizes));
    samples.add("k8s_exec_ms", await paced(BLOCK, GAP_MS, () => kubernetes.run(["/bin/bash", "-c", "echo hi"])));
  }
  const megabytes = sizes.map((bytes) => bytes / 1e6);
  samples.add("local_spawn_rss_mb", megabytes);
}

/** A gigabyte in pieces, each next to the same through a pipe, then the daemon's memory. */
async function measureBulk(workspace: WorkspaceClient, sandbox: Sandbox, { progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  const perSecond = (milliseconds: readonly number[]): number[] => milliseconds.map((ms) => BULK_BYTES / 1e6 / (ms / 1000));
  const pipe = new BareNode();
  samples.add("rss_before_1gb_mb", [residentBytes(sandbox.daemonPid()) / 1e6]);
  try {
    for (let run = 1; run <= BULK_RUNS; run++) {
      progress(`bulk output: ${run} of ${BULK_RUNS}`);
      samples.add("bulk_mb_s", perSecond([await timed(() => readBytes(workspace, BULK_BYTES))]));
      samples.add("pipe_mb_s", perSecond(await pipe.run({ kind: "pipe", bytes: BULK_BYTES })));
      samples.add("bulk_1mb_ms", await paced(5, 0, () => readBytes(workspace, 1e6)));
    }
  } finally {
    await pipe.close();
  }
  samples.add("rss_after_1gb_mb", [residentBytes(sandbox.daemonPid()) / 1e6]);
}
