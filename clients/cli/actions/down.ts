import { existsSync } from "node:fs";
import type { Context } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import { stopStack } from "../stack/down.ts";
import { withStackLock } from "../stack/lock.ts";
import { processLabel } from "../stack/processes.ts";
import { checkLayout } from "../stack/state-directory.ts";

/** Does `leaf down`. */
export async function runDown({ out, paths }: Context): Promise<ExitCode> {
  checkLayout(paths);
  if (!existsSync(paths.version)) return report([], []);
  const waiting = (): void => out.note(`another leaf command is at work on ${paths.dir}, waiting for it`);
  return await withStackLock(paths, waiting, async () => {
    const { stopped, killed } = await stopStack(paths);
    return report(stopped, killed);
  });

  function report(stopped: Awaited<ReturnType<typeof stopStack>>["stopped"], killed: typeof stopped): ExitCode {
    const list = stopped.map((process) => ({ name: processLabel(process), pid: process.pid, killed: killed.includes(process) }));
    if (out.json) out.document({ dir: paths.dir, stopped: list });
    else if (list.length === 0) out.line("nothing was running");
    else out.line(`stopped ${list.length} processes, none is left${killed.length === 0 ? "" : `; ${killed.length} had to be killed`}`);
    return ExitCode.ok;
  }
}
