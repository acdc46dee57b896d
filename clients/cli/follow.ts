import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { type LeafEvent, LeafState } from "@serverless-harness/proto/leaf";
import type { Context } from "./context.ts";
import { openDispatcher } from "./dispatcher.ts";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

/** How long a dispatcher that went away may take to come back. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 200;
const TERMINAL: ReadonlySet<LeafState> = new Set([LeafState.DONE, LeafState.FAILED, LeafState.CANCELLED, LeafState.ABORTED]);
const BROKEN: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Unknown, Code.Internal]);

/** A leaf's state is its last one. */
export function isTerminal(state: LeafState): boolean {
  return TERMINAL.has(state);
}

/**
 * A leaf's events behind `afterSeq`, to the terminal one. A connection that breaks on the way is made again, to wherever the
 * dispatcher is then, and goes on behind the last event. Throws the signal's reason where it aborts.
 */
export async function* followLeaf(context: Context, leafId: string, afterSeq: bigint, signal: AbortSignal): AsyncGenerator<LeafEvent> {
  let last = afterSeq;
  let brokenAt: number | undefined;
  for (let connected = false; ; ) {
    let broken: unknown = new ConnectError("the dispatcher ended the stream early", Code.Unavailable);
    try {
      for await (const event of watchOnce(context, leafId, last, signal)) {
        connected = true;
        brokenAt = undefined;
        last = event.seq;
        yield event;
        if (event.event.case === "stateChanged" && isTerminal(event.event.value.state)) return;
      }
    } catch (error) {
      broken = error;
    }
    if (signal.aborted) throw signal.reason;
    brokenAt ??= Date.now();
    if (!(connected && mayComeBack(broken) && Date.now() - brokenAt < PATIENCE_MS)) throw broken;
    await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function* watchOnce(context: Context, leafId: string, afterSeq: bigint, signal: AbortSignal): AsyncGenerator<LeafEvent> {
  const dispatcher = openDispatcher(context);
  try {
    for await (const { event } of dispatcher.leaves.watch({ leafId, afterSeq }, { signal })) {
      if (event !== undefined) yield event;
    }
  } finally {
    dispatcher.close();
  }
}

/** The dispatcher went away, as opposed to: it refused. */
function mayComeBack(error: unknown): boolean {
  if (error instanceof CliError) return error.exitCode === ExitCode.notRunning;
  return error instanceof ConnectError && BROKEN.has(error.code);
}
