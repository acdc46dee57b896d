import { createHash } from "node:crypto";
import { EndCause } from "@serverless-harness/proto/hands";
import { type Finding, time } from "../claims.ts";
import { CuttableWay, SandboxVisitor } from "../sandbox.ts";
import type { World } from "../world.ts";

const WORKSPACE = "default/demo-reattached";
const PARTS = 8;
const LINES = 20_000;
/** Numbered lines in parts with pauses; what was written is kept beside, and each run leaves a line. */
const COMMAND = `echo run >> runs; for i in $(seq ${PARTS}); do seq $((i * ${LINES})) $((i * ${LINES} + ${LINES - 1})); sleep 0.1; done | tee written`;
/** The way is cut when this many bytes have arrived. */
const CUTS = [200_000, 600_000];

/** A command's output over a way that is cut in the middle, twice: every byte arrives once, and the command runs once. */
export async function reattached(world: World): Promise<Finding> {
  const way = await CuttableWay.open(world.paths);
  const visitor = new SandboxVisitor(world.paths, WORKSPACE, way.address);
  try {
    const { workspace } = visitor;
    await workspace.create();
    const startedAtMs = Date.now();
    const pieces: Uint8Array[] = [];
    let next = 0;
    let cuts = 0;
    const handle = workspace.exec({ execId: "numbered", command: { shell: COMMAND } }, (update) => {
      if (update.kind === "started") return;
      if (update.kind === "gap" || update.offset !== next) throw new Error(`the output is not whole at byte ${next}`);
      pieces.push(update.data);
      next += update.data.length;
      if (next < (CUTS[cuts] ?? Number.POSITIVE_INFINITY)) return;
      cuts++;
      way.cut();
    });
    const ended = await handle.ended;
    const took_ms = Date.now() - startedAtMs;
    const [written, ran] = await Promise.all([workspace.read("written"), workspace.read("runs")]);
    const runs = Buffer.from(ran).toString().trim().split("\n").length;
    const got = sha256(pieces);
    const same = got === sha256([written]) && written.length === next;
    await workspace.delete();
    return {
      holds:
        same && runs === 1 && cuts === CUTS.length && way.connections > cuts && ended.cause === EndCause.EXITED && ended.exitCode === 0,
      seen:
        `cut ${cuts} times in ${time(took_ms)}, ${way.connections} connections; ${next} of ${written.length} bytes arrived, sha256 ${got.slice(0, 12)} ` +
        `${same ? "as written" : "is not what was written"}; the command ran ${runs === 1 ? "once" : `${runs} times`}`,
      measured: { cuts, connections: way.connections, bytes: next, bytes_written: written.length, runs, took_ms },
    };
  } finally {
    visitor.close();
    await way.close();
  }
}

function sha256(pieces: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const piece of pieces) hash.update(piece);
  return hash.digest("hex");
}
