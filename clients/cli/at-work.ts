import { setTimeout as sleep } from "node:timers/promises";
import { type Leaf, LeafState, type ToolStarted } from "@serverless-harness/proto/leaf";
import type { Context } from "./context.ts";
import { openDispatcher } from "./dispatcher.ts";
import { interruptible } from "./interrupt.ts";
import { stateName } from "./view/names.ts";
import { toolCallText } from "./view/tool-text.ts";

const POLL_MS = 500;
const PAGE = 1000;
/** Newest events of a leaf in which its open tool calls are looked for. */
const EVENTS = 1000n;

/** A leaf that a brain works on, or for which something runs in the sandbox. */
export interface LeafAtWork {
  readonly leafId: string;
  readonly state: string;
  /** Tool calls that have not ended, in a line each. */
  readonly calls: readonly string[];
}

/** Every leaf at work. Throws where the dispatcher can't be asked. */
export async function leavesAtWork(context: Context): Promise<LeafAtWork[]> {
  const dispatcher = openDispatcher(context);
  try {
    const { leaves } = await dispatcher.leaves.list({ states: [LeafState.RUNNING, LeafState.SUSPENDED], pageSize: PAGE });
    const found = await Promise.all(
      leaves.map(async (leaf) => ({ leafId: leaf.leafId, state: stateName(leaf.state), calls: await openCalls(dispatcher, leaf) })),
    );
    return found.filter(({ state, calls }) => state === "running" || calls.length > 0);
  } finally {
    dispatcher.close();
  }
}

async function openCalls({ leaves }: ReturnType<typeof openDispatcher>, { leafId, lastSeq }: Leaf): Promise<string[]> {
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

/** Wait until no leaf is at work, and tell for which it is waited. Throws where Ctrl-C ends that. */
export async function waitUntilIdle(context: Context): Promise<void> {
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

/** A leaf at work in a line. */
export function atWorkText({ leafId, state, calls }: LeafAtWork): string {
  return `${leafId} (${[state, ...calls].join("; ")})`;
}
