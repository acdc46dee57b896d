import { HandsClient } from "@serverless-harness/hands/client";
import type { Benchmark } from "./benchmark.ts";
import { makeTree } from "./files/tree.ts";
import { byExec, byLocalFs, byRpc, makeFiles, statInBatch, type Way } from "./files/ways.ts";
import { paced } from "./pace.mjs";
import { startSandbox } from "./parts/sandbox.ts";
import { Samples } from "./report/samples.ts";

/** Pause between two operations of an agent, in milliseconds. */
const GAP_MS = 10;
/** Operations in a block, of ours or of a baseline. */
const BLOCK = 20;
/** Searches in a block. */
const SEARCHES = 3;
const WARM_UP = 30;
/** A quick run takes no new round behind this many milliseconds, except for the first ones. */
const QUICK_MS = 30_000;
const FEWEST_ROUNDS = 3;

/** Rows of ours, and the operations that they measure. */
const ROWS: ReadonlyArray<readonly [row: string, operation: keyof Way, count: number]> = [
  ["read_1k", "read", BLOCK],
  ["write_1k", "write", BLOCK],
  ["edit", "edit", BLOCK],
  ["stat", "stat", BLOCK],
  ["grep_1000", "grep", SEARCHES],
];

/** FileService against the same by commands of the same daemon, and against a local file system. */
export const files: Benchmark = async ({ quick, jail, progress }) => {
  const sandbox = await startSandbox(jail);
  const client = new HandsClient({ address: sandbox.address });
  const samples = new Samples();
  try {
    const workspace = client.workspace("bench/files", 1n);
    await workspace.create();
    const directory = `${sandbox.workspaces}/bench/files`;
    await makeFiles(directory);
    await makeTree(`${directory}/tree`);
    const ways: ReadonlyArray<readonly [suffix: string, way: Way]> = [
      ["", byRpc(workspace)],
      ["exec_", byExec(workspace)],
      ["local_", byLocalFs(directory)],
    ];
    for (const [, way] of ways) for (const [, operation] of ROWS) await paced(operation === "grep" ? 1 : WARM_UP, 0, way[operation]);
    const rounds = quick ? 8 : 40;
    const started = performance.now();
    for (let round = 1; round <= rounds; round++) {
      if (quick && round > FEWEST_ROUNDS && performance.now() - started > QUICK_MS) break;
      progress(`round ${round} of ${rounds}`);
      for (const [row, operation, count] of ROWS) {
        if (operation === "stat") samples.add("batch_20_stat_ms", [await statInBatch(workspace, 20)]);
        for (const [prefix, way] of ways) samples.add(`${prefix}${row}_ms`, await paced(count, GAP_MS, way[operation]));
      }
    }
  } finally {
    client.close();
    await sandbox.close();
  }
  const batch = { "batch_20_stat/exec": ["batch_20_stat_ms", "exec_stat_ms"] } as const;
  const pairs = (prefix: string) => ROWS.map(([row]) => [`${row}/${prefix}`, [`${row}_ms`, `${prefix}_${row}_ms`]] as const);
  return samples.report("files", { ...Object.fromEntries([...pairs("exec"), ...pairs("local")]), ...batch });
};
