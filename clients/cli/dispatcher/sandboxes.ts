import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { ListSandboxesResponse, Sandbox } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";
import { interruptible } from "../interrupt.ts";
import { counted } from "../view/format.ts";
import { SandboxTable } from "../view/sandbox-table.ts";
import { sandboxState } from "../view/sandbox-text.ts";
import { openDispatcher, withDispatcher } from "./call.ts";

const POLL_MS = 500;
/** A dispatcher that has just started has not asked every sandbox yet. */
const AWAY_MS = 5000;
/** Refusals that say that this caller has no pool to see. */
const NO_POOL: ReadonlySet<Code> = new Set([Code.FailedPrecondition, Code.PermissionDenied, Code.Unimplemented]);

/** The pool; `undefined` if the dispatcher has none, or the token may not see it. */
export async function readPool(context: Context): Promise<ListSandboxesResponse | undefined> {
  return await withDispatcher(context, async ({ sandboxes }) => {
    try {
      return await sandboxes.listSandboxes({});
    } catch (error) {
      if (NO_POOL.has(fromConnectError(error).code)) return undefined;
      throw error;
    }
  });
}

/** Show the pool live, until Ctrl-C: to a human a table, else a JSON line for each change. */
export async function watchSandboxes(context: Context): Promise<void> {
  const interrupt = interruptible(0, () => "");
  const table = new SandboxTable(context.out);
  const dispatcher = openDispatcher(context);
  try {
    while (!interrupt.signal.aborted) {
      table.show(await dispatcher.sandboxes.listSandboxes({}));
      await sleep(POLL_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
    }
  } finally {
    dispatcher.close();
    interrupt.release();
  }
}

/**
 * Wait until no session is in a sandbox that drains, and say how many are. Throws if it is away, as what is there then can't be moved, or takes
 * sessions again, and if Ctrl-C or the timeout ends the wait.
 */
export async function untilEmpty(context: Context, name: string, timeoutSeconds: number): Promise<Sandbox> {
  const interrupt = interruptible(timeoutSeconds, () => `${name} goes on draining; \`leaf sandbox undrain ${name}\` takes that back`);
  let told = "";
  let thereAtMs = performance.now();
  try {
    for (;;) {
      const { sandboxes, nowMs } = await withDispatcher(context, (dispatcher) => dispatcher.sandboxes.listSandboxes({}));
      const sandbox = sandboxes.find((each) => each.name === name);
      if (sandbox === undefined) throw new CliError(ExitCode.notFound, "sandbox_not_found", `${name} was removed while it drained`);
      if (!sandboxState(sandbox, nowMs).startsWith("away")) thereAtMs = performance.now();
      requireDraining(sandbox, performance.now() - thereAtMs > AWAY_MS);
      const { working, placed } = sandbox;
      if (working === 0 && placed === 0) return sandbox;
      const text = `waits for ${counted(placed, "session")}, of which ${working} ${working === 1 ? "is" : "are"} at work`;
      if (text !== told) context.out.note(text);
      told = text;
      await sleep(POLL_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
      if (interrupt.signal.aborted) throw interrupt.signal.reason;
    }
  } finally {
    interrupt.release();
  }
}

function requireDraining({ name, draining, placed }: Sandbox, isAway: boolean): void {
  if (!draining) throw new CliError(ExitCode.refused, "not_draining", `somebody let ${name} take sessions again: it no longer drains`);
  if (placed === 0 || !isAway) return;
  const message = `${name} is away, with ${counted(placed, "session")} in it: they go on elsewhere from their last snapshots after \`leaf sandbox remove ${name}\``;
  throw new CliError(ExitCode.refused, "sandbox_away", message);
}
