import { type Leaf, LeafState } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { isSandbox, readPoolSize, sandboxName } from "../stack/pool.ts";
import { counted, firstLine, isoTime } from "../view/format.ts";
import { stateName } from "../view/leaf-text.ts";
import { withDispatcher } from "./call.ts";
import { readStatus } from "./status.ts";

/** States of leaves that hold their session. */
const AT_WORK = [LeafState.RUNNING, LeafState.SUSPENDED, LeafState.AWAITING_APPROVAL, LeafState.RETRYING];

/** Who starts brains, in words that follow "which". */
const STARTERS = {
  none: "somebody else starts (DISPATCHER_WAKER=none)",
  keda: "KEDA starts (DISPATCHER_WAKER=keda)",
  knative: "a call to its service starts (DISPATCHER_WAKER=knative)",
};

/** What a leaf waits for, in words that follow "waits"; `undefined` if it does not wait, or only for its own work. */
export async function waitsFor(context: Context, leaf: Leaf): Promise<string | undefined> {
  switch (leaf.state) {
    case LeafState.QUEUED:
      return (await forSession(context, leaf)) ?? (await forBrain(context));
    case LeafState.RETRYING: {
      const why = leaf.attempts.at(-1)?.failure?.message ?? "";
      return `until ${isoTime(leaf.notBeforeMs)} to try again${why === "" ? "" : `: ${firstLine(why, 200)}`}${await sandboxNote(context)}`;
    }
    case LeafState.AWAITING_APPROVAL:
      return `for an answer: leaf approve|reject|abort ${leaf.leafId}`;
    case LeafState.SUSPENDED:
      return `for a command in the sandbox${await sandboxNote(context)}`;
    default:
      return undefined;
  }
}

/** That the sandbox is away, which a running leaf may wait for besides its own work; empty if it is there. */
export async function sandboxNote(context: Context): Promise<string> {
  return sandboxText(context, (await readStatus(context)).missing);
}

function sandboxText({ paths }: Context, missing: readonly string[]): string {
  const away = missing.filter(isSandbox);
  if (away.length === 0) return "";
  if (readPoolSize(paths) === undefined) return "; the sandbox is away: `leaf up` starts it again";
  const names = away.map(sandboxName).join(", ");
  return `; ${away.length === 1 ? `sandbox ${names} is` : `sandboxes ${names} are`} away: \`leaf up\` starts what is missing`;
}

/** A session works on one leaf at a time. */
async function forSession(context: Context, { leafId, spec }: Leaf): Promise<string | undefined> {
  const { tenant = "", sessionId = "" } = spec ?? {};
  if (sessionId === "") return undefined;
  const found = await withDispatcher(context, ({ leaves }) => leaves.list({ tenant, sessionId, states: AT_WORK, pageSize: 2 }));
  const other = found.leaves.find((each) => each.leafId !== leafId);
  return other === undefined ? undefined : `for ${other.leafId} of its session, which is ${stateName(other.state)}`;
}

async function forBrain(context: Context): Promise<string> {
  const { health, missing } = await readStatus(context);
  const { backlog, brains = [], problem, waker } = health;
  const away = sandboxText(context, missing);
  if (problem !== undefined) return `for a brain: ${firstLine(problem, 200)}${away}`;
  if (waker !== undefined && waker !== "local") return `for a brain, which ${STARTERS[waker]}${away}`;
  if (brains.length === 0) return `for a brain, and there is none: \`leaf logs dispatcher\` says why${away}`;
  const queued = backlog === undefined ? "" : `, ready to be taken: ${backlog.ready}`;
  return `for a brain to take it: ${counted(brains.length, "brain")} at work${queued}${away}`;
}
