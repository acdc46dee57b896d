import { setTimeout as sleep } from "node:timers/promises";
import { toJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { FailureReason, type Leaf, type LeafEvent, LeafEventSchema, LeafState, type StateChanged } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";
import { interruptible } from "../interrupt.ts";
import type { EventView } from "../view/event-text.ts";
import { isOver, leafJson, nameOf, stateName } from "../view/leaf-text.ts";
import { openDispatcher } from "./call.ts";
import { Silence } from "./silence.ts";

/** How long a dispatcher that went away may take to come back. */
const PATIENCE_MS = 15_000;
const RETRY_MS = 200;
const BROKEN: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Unknown, Code.Internal]);

type Ending = Pick<StateChanged, "state" | "failure">;

/**
 * Show a leaf's events after `afterSeq` until it ends: to a human by `view`, else as JSON lines that begin with the leaf
 * itself. Throws if the leaf ended without a result.
 */
export async function followToEnd(context: Context, leaf: Leaf, afterSeq: bigint, timeoutSeconds: number, view: EventView): Promise<void> {
  const { out } = context;
  if (out.json) out.document({ leaf: leafJson(leaf) }, true);
  // No event follows the last one: the record says how the leaf ended.
  if (isOver(leaf.state) && afterSeq >= leaf.lastSeq) {
    requireDone(leaf.leafId, leaf);
    return;
  }
  let end: Ending | undefined;
  const interrupt = interruptible(timeoutSeconds, () => `the leaf goes on, follow it with \`leaf watch ${leaf.leafId}\``);
  const silence = out.json ? undefined : new Silence(context, leaf.leafId);
  try {
    for await (const event of followLeaf(context, leaf.leafId, afterSeq, interrupt.signal)) {
      silence?.heard(event);
      if (out.json) out.document({ event: toJson(LeafEventSchema, event) }, true);
      else view.show(event);
      if (event.event.case === "stateChanged") end = event.event.value;
    }
  } finally {
    silence?.end();
    interrupt.release();
  }
  if (!out.json) view.end();
  requireDone(leaf.leafId, end);
}

function requireDone(leafId: string, end: Ending | undefined): void {
  if (end?.state === LeafState.DONE) return;
  const reason = end?.failure === undefined ? undefined : nameOf(FailureReason, end.failure.reason);
  const state = end === undefined ? "unknown" : stateName(end.state);
  const why = reason === undefined ? "" : `: ${reason}: ${end?.failure?.message.split("\n", 1)[0]}`;
  throw new CliError(ExitCode.leafFailed, reason ?? `leaf_${state}`, `${leafId} ${state === "failed" ? state : `was ${state}`}${why}`);
}

/**
 * A leaf's events after `afterSeq`, up to the terminal one. If the connection breaks, it is made again, to wherever the
 * dispatcher is then, and continues after the last event. Throws the signal's reason when it aborts.
 */
async function* followLeaf(context: Context, leafId: string, afterSeq: bigint, signal: AbortSignal): AsyncGenerator<LeafEvent> {
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
        if (event.event.case === "stateChanged" && isOver(event.event.value.state)) return;
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
