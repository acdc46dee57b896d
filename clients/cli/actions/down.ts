import { existsSync } from "node:fs";
import { atWorkText, type LeafAtWork, leavesAtWork, waitUntilIdle } from "../at-work.ts";
import type { DownOptions } from "../commands/down.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { stopStack } from "../stack/down.ts";
import { withStackLockIfPossible } from "../stack/lock.ts";
import { processLabel } from "../stack/processes.ts";
import { liveRecord } from "../stack/record.ts";
import { checkLayout } from "../stack/state-directory.ts";

/** Does `leaf down`. */
export async function runDown(context: Context, { wait = false }: DownOptions): Promise<ExitCode> {
  const { out, paths } = context;
  let atWork: readonly LeafAtWork[] = [];
  checkLayout(paths);
  if (!existsSync(paths.version)) return report([], []);
  // What is stopped is asked, whatever LEAF_URL says.
  const local = { ...context, config: { ...context.config, url: undefined } };
  const waiting = (): void => out.note(`another leaf command is at work on ${paths.dir}, waiting for it`);
  return await withStackLockIfPossible(paths, waiting, stop);

  async function stop(): Promise<ExitCode> {
    if (liveRecord(paths, "dispatcher") !== undefined) {
      if (wait) await waitUntilIdle(local);
      // Whatever ails the dispatcher, it is to be stopped.
      atWork = await leavesAtWork(local).catch((error: unknown) => unasked(out, error));
      for (const leaf of atWork) out.note(ending(leaf));
    }
    const { stopped, killed, uncleaned } = await stopStack(paths);
    const code = report(stopped, killed);
    if (uncleaned === undefined) return code;
    const message = `everything is stopped, but ${paths.run} can't be cleaned up (${uncleaned}): make ${paths.dir} writable, then \`leaf down\` again`;
    throw new CliError(ExitCode.refused, "not_cleaned_up", message);
  }

  function report(stopped: Awaited<ReturnType<typeof stopStack>>["stopped"], killed: typeof stopped): ExitCode {
    const list = stopped.map((process) => ({ name: processLabel(process), pid: process.pid, killed: killed.includes(process) }));
    if (out.json) out.document({ dir: paths.dir, atWork, stopped: list });
    else if (list.length === 0) out.line("nothing was running");
    else out.line(`stopped ${list.length} processes, none is left${killed.length === 0 ? "" : `; ${killed.length} had to be killed`}`);
    return ExitCode.ok;
  }
}

/** What becomes of a leaf at work. */
function ending(leaf: LeafAtWork): string {
  const calls = leaf.calls.length === 0 ? "" : "; what its calls run is ended, and its model is told so";
  return `suspends ${atWorkText(leaf)}${calls}`;
}

function unasked(out: Context["out"], error: unknown): [] {
  out.warn(`what is at work is not known, since the dispatcher can't be asked: ${error instanceof Error ? error.message : String(error)}`);
  return [];
}
