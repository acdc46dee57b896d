import type { Context } from "../context.ts";
import { stopProcesses } from "../stack/down.ts";
import { lacksPool, type StackPlan } from "../stack/plan.ts";
import { readPoolSize, sandboxName, sandboxServices, writePool } from "../stack/pool.ts";
import { removeRecords } from "../stack/record.ts";
import { requireUsableSettings, startStack, type UpResult } from "../stack/up.ts";
import { withDispatcher } from "./call.ts";
import { untilEmpty } from "./sandboxes.ts";

/**
 * Start what is missing of a stack, with the plan's number of sandboxes. If there were more, those at the end are emptied first, and then stopped. If
 * there was no pool, the dispatcher alone is started again. The caller holds the lock.
 */
export async function startWithPool(context: Context, plan: StackPlan, port: number, signal: AbortSignal): Promise<UpResult> {
  const { paths } = plan;
  const before = readPoolSize(paths) ?? 1;
  const surplus = sandboxServices(before).slice(plan.sandboxes);
  if (surplus.length > 0) {
    // They run, as what is in them has to be moved.
    await startStack({ ...plan, sandboxes: before }, port, signal);
    await emptySandboxes(context, surplus.map(sandboxName));
    writePool(paths, plan.sandboxes);
    await stopProcesses(paths, surplus);
    removeRecords(paths, surplus);
    for (const name of surplus.map(sandboxName)) await forget(context, name);
  }
  if (lacksPool(paths, plan)) {
    await requireUsableSettings(plan, port);
    context.out.note("the dispatcher is started again, as there was no pool: leaves at work are suspended, and go on");
    await stopProcesses(paths, ["dispatcher"]);
    removeRecords(paths, ["dispatcher"]);
  }
  if (plan.isPool) writePool(paths, plan.sandboxes);
  return await startStack(plan, port, signal);
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
