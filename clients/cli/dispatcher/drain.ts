import { setTimeout as sleep } from "node:timers/promises";
import { type Leaf, LeafState, type ToolStarted } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { interruptible } from "../interrupt.ts";
import { type DownResult, stopStack } from "../stack/down.ts";
import { liveRecord } from "../stack/record.ts";
import { toolCallText } from "../view/event-text.ts";
import { stateName } from "../view/leaf-text.ts";
import { type Dispatcher, withDispatcher } from "./call.ts";

const POLL_MS = 500;
const PAGE = 1000;
/** How many of a leaf's newest events are searched for open tool calls. */
const EVENTS = 1000n;

/** A leaf that a brain works on, or for which something runs in the sandbox. */
export interface LeafAtWork {
  readonly leafId: string;
  readonly state: string;
  /** Tool calls that have not ended, a line each. */
  readonly calls: readonly string[];
}

/** What was stopped, and the leaves that it suspended. */
export interface Drained extends DownResult {
  readonly atWork: readonly LeafAtWork[];
}

/** The stack's own dispatcher, whatever LEAF_URL says. */
export function ofStack(context: Context): Context {
  return { ...context, config: { ...context.config, url: undefined } };
}

/**
 * Say what stopping suspends, then stop the stack of the state directory. `wait`: first wait until no leaf is at work.
 * The caller holds the lock.
 */
export async function drainStack(context: Context, wait: boolean): Promise<Drained> {
  const { out, paths } = context;
  const local = ofStack(context);
  let atWork: readonly LeafAtWork[] = [];
  if (liveRecord(paths, "dispatcher") !== undefined) {
    if (wait) await waitUntilIdle(local);
    // A dispatcher that can't answer has to be stopped all the same.
    atWork = await leavesAtWork(local).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      out.warn(`can't say what is at work, since the dispatcher does not answer: ${why}`);
      return [];
    });
    for (const leaf of atWork) {
      const calls = leaf.calls.length === 0 ? "" : "; what its calls run is ended, and its model is told so";
      out.note(`suspends ${atWorkText(leaf)}${calls}`);
    }
  }
  return { atWork, ...(await stopStack(paths)) };
}

/** Every leaf at work. Throws if the dispatcher does not answer. */
async function leavesAtWork(context: Context): Promise<LeafAtWork[]> {
  return await withDispatcher(context, async (dispatcher) => {
    const { leaves } = await dispatcher.leaves.list({ states: [LeafState.RUNNING, LeafState.SUSPENDED], pageSize: PAGE });
    const found = await Promise.all(
      leaves.map(async (leaf) => ({ leafId: leaf.leafId, state: stateName(leaf.state), calls: await openCalls(dispatcher, leaf) })),
    );
    return found.filter(({ state, calls }) => state === "running" || calls.length > 0);
  });
}

async function openCalls({ leaves }: Dispatcher, { leafId, lastSeq }: Leaf): Promise<string[]> {
  const open = new Map<string, ToolStarted>();
  if (lastSeq === 0n) return [];
  const afterSeq = lastSeq > EVENTS ? lastSeq - EVENTS : 0n;
  for await (const { event } of leaves.watch({ leafId, afterSeq })) {
    if (event?.event.case === "toolStarted") open.set(event.event.value.invocationId, event.event.value);
    else if (event?.event.case === "toolEnded") open.delete(event.event.value.invocationId);
    if (event !== undefined && event.seq >= lastSeq) break;
  }
  return [...open.values()].map((call) => toolCallText(call));
}

/** Wait until no leaf is at work, and say which are. Throws if Ctrl-C ends that. */
async function waitUntilIdle(context: Context): Promise<void> {
  const interrupt = interruptible(0, () => "nothing was stopped");
  let told = "";
  try {
    for (;;) {
      const atWork = await leavesAtWork(context);
      if (atWork.length === 0) return;
      const text = atWork.map(atWorkText).join(", ");
      if (text !== told) context.out.note(`waits for ${text}`);
      told = text;
      await sleep(POLL_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
      if (interrupt.signal.aborted) throw interrupt.signal.reason;
    }
  } finally {
    interrupt.release();
  }
}

function atWorkText({ leafId, state, calls }: LeafAtWork): string {
  return `${leafId} (${[state, ...calls].join("; ")})`;
}
