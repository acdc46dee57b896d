import type { Context } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";
import { stopProcesses } from "../stack/down.ts";
import { lacksPool, type StackPlan } from "../stack/plan.ts";
import { readPoolSize, sandboxName, sandboxServices, writePool } from "../stack/pool.ts";
import { liveRecord, removeRecords } from "../stack/record.ts";
import { requireUsableSettings, startStack, type UpResult } from "../stack/up.ts";
import { withDispatcher } from "./call.ts";
import { ofStack } from "./drain.ts";
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
    requireRestartable(plan, port);
    await requireUsableSettings(plan, port);
    context.out.note("the dispatcher is started again, as there was no pool: leaves at work are suspended, and go on");
    await stopProcesses(paths, ["dispatcher"]);
    removeRecords(paths, ["dispatcher"]);
  }
  if (plan.isPool) writePool(paths, plan.sandboxes);
  try {
    return await startStack(plan, port, signal);
  } catch (error) {
    // Otherwise every later call would try the same number, even one that asks for fewer.
    if (plan.sandboxes > before) writePool(paths, before);
    throw error;
  }
}

/** Throw if the dispatcher can't be started again with a pool: it is of a version that knows none, or what runs beside it knows its address. */
function requireRestartable({ paths, sandboxes }: StackPlan, port: number): void {
  const record = liveRecord(paths, "dispatcher");
  if (record === undefined) return;
  if (record.settings["pool"] === undefined) {
    const message = `what runs is of a version without a pool: \`leaf up --restart --sandboxes ${sandboxes}\``;
    throw new CliError(ExitCode.refused, "older_version", message);
  }
  if (record.address === "" || record.address.endsWith(`:${port}`)) return;
  const message = `dispatcher runs already, at ${record.address}: \`leaf down\` first, then \`leaf up\` again`;
  throw new CliError(ExitCode.refused, "runs_otherwise", message);
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
