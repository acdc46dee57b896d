import { HandsClient } from "@serverless-harness/hands/client";
import { residentBytes } from "@serverless-harness/kit/proc";
import { BareNode } from "./baseline/bare-node.ts";
import type { Benchmark, BenchmarkOptions } from "./benchmark.ts";
import { paced } from "./pace.mjs";
import { type Sandbox, startSandbox } from "./parts/sandbox.ts";
import { Samples } from "./report/samples.ts";
import { Keyboard } from "./terminal/keyboard.ts";

/** Pause between two keys, in milliseconds: of a fast typist, or of a key that is held down. */
const GAP_MS = 10;
/** Keys in a block, of ours or of the baseline. */
const BLOCK = 50;
/** Keys before the measurement, of ours and of the baseline, so that the code of both is compiled. */
const WARM_UP = 2000;
const TERMINALS = 100;
/** As many as a workspace takes, and one less. */
const PER_WORKSPACE = 15;

/** From a key to its echo, over the stream of a terminal, against node-pty in a process of its own; and the memory of idle terminals. */
export const terminal: Benchmark = async (options) => {
  const samples = new Samples();
  await withSandbox(options, (client) => measureKeys(client, options, samples));
  await withSandbox(options, (client, sandbox) => measureMemory(client, sandbox, options, samples));
  return samples.report("terminal", {
    "keystroke/node_pty": ["keystroke_ms", "node_pty_ms"],
    "keystroke_tight/node_pty": ["keystroke_tight_ms", "node_pty_tight_ms"],
  });
};

async function withSandbox({ jail }: BenchmarkOptions, work: (client: HandsClient, sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await startSandbox(jail);
  const client = new HandsClient({ address: sandbox.address });
  try {
    await work(client, sandbox);
  } finally {
    client.close();
    await sandbox.close();
  }
}

/** Rounds of short blocks, ours and the baseline in turn, so that what disturbs the machine disturbs both. */
async function measureKeys(client: HandsClient, { quick, progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  const rounds = quick ? 6 : 40;
  const workspace = client.workspace("bench/keys", 1n);
  await workspace.create();
  const keyboard = await Keyboard.open(workspace, "keys");
  const local = new BareNode();
  try {
    const press = (): Promise<void> => keyboard.press("x");
    await paced(WARM_UP, 0, press);
    await local.run({ kind: "keys", count: WARM_UP, gapMs: 0 });
    for (let round = 1; round <= rounds; round++) {
      progress(`keys: round ${round} of ${rounds}`);
      samples.add("keystroke_ms", await paced(BLOCK, GAP_MS, press));
      samples.add("node_pty_ms", await local.run({ kind: "keys", count: BLOCK, gapMs: GAP_MS }));
      samples.add("keystroke_tight_ms", await paced(BLOCK, 0, press));
      samples.add("node_pty_tight_ms", await local.run({ kind: "keys", count: BLOCK, gapMs: 0 }));
    }
  } finally {
    keyboard.close();
    await local.close();
  }
  await workspace.closeTerminal("keys");
}

/** The daemon with no terminal open, with a hundred shells that wait, and when each of their windows was read once. */
async function measureMemory(client: HandsClient, sandbox: Sandbox, { progress }: BenchmarkOptions, samples: Samples): Promise<void> {
  await client.listWorkspaces();
  // Looked for once: what the daemon starts looks like it for a moment.
  const pid = sandbox.daemonPid();
  const rss = (metric: string): void => samples.add(metric, [residentBytes(pid) / 1e6]);
  rss("rss_0_terminals_mb");
  progress(`memory: ${TERMINALS} idle terminals`);
  const places = Array.from({ length: TERMINALS }, (_, index) => ({
    workspace: client.workspace(`bench/idle-${Math.floor(index / PER_WORKSPACE)}`, 1n),
    terminalId: `idle-${index}`,
  }));
  for (const { workspace, terminalId } of places) {
    await workspace.create();
    await workspace.openTerminal({ terminalId });
  }
  rss("rss_100_terminals_mb");
  for (const { workspace, terminalId } of places) await workspace.terminalScreen(terminalId);
  rss("rss_100_screens_mb");
}
