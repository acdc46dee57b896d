import type { Context } from "../context.ts";
import { stopProcesses } from "../stack/down.ts";
import { hasOtherPool, type StackPlan } from "../stack/plan.ts";
import { readPoolSize, sandboxName, sandboxServices, writePoolSize } from "../stack/pool.ts";
import { removeRecords } from "../stack/record.ts";
import { requireUsableSettings, startStack, type UpResult } from "../stack/up.ts";
import { withDispatcher } from "./call.ts";
import { untilEmpty } from "./sandboxes.ts";

/**
 * Start what is missing of a stack, with the plan's number of sandboxes. If there were more, those at the end are emptied first, and then stopped; if
 * there were fewer, the dispatcher alone is started again. The caller holds the lock.
 */
export async function startWithPool(context: Context, plan: StackPlan, port: number, signal: AbortSignal): Promise<UpResult> {
  const { out, paths } = context;
  const before = readPoolSize(paths);
  const surplus = sandboxServices(before ?? 1).slice(plan.sandboxes);
  if (surplus.length > 0) {
    // They run, as what is in them has to be moved.
    await startStack({ ...plan, sandboxes: before ?? 1 }, port, signal);
    await emptySandboxes(context, surplus.map(sandboxName));
  }
  if (hasOtherPool(paths, plan)) {
    await requireUsableSettings(plan, port);
    out.note("the dispatcher is started again, for another number of sandboxes: leaves at work are suspended, and go on");
    await stopProcesses(paths, ["dispatcher", ...surplus]);
    removeRecords(paths, ["dispatcher", ...surplus]);
  }
  writePoolSize(paths, plan.isPool ? plan.sandboxes : undefined);
  const result = await startStack(plan, port, signal);
  for (const name of surplus.map(sandboxName)) await forget(context, name);
  return result;
}

/** Move whatever is in these sandboxes to others. */
async function emptySandboxes(context: Context, names: readonly string[]): Promise<void> {
  const local = ofStack(context);
  context.out.note(`drains ${names.join(", ")}: what sleeps there is moved, what works there goes on to its end`);
  for (const name of names) await withDispatcher(local, ({ sandboxes }) => sandboxes.drainSandbox({ name }));
  for (const name of names) await untilEmpty(local, name, 0);
}

async function forget(context: Context, name: string): Promise<void> {
  await withDispatcher(ofStack(context), ({ sandboxes }) => sandboxes.removeSandbox({ name }));
}

/** The stack's own dispatcher, whatever LEAF_URL says. */
function ofStack(context: Context): Context {
  return { ...context, config: { ...context.config, url: undefined } };
}
