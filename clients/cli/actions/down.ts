import { existsSync } from "node:fs";
import type { DownOptions } from "../commands/down.ts";
import type { Context } from "../context.ts";
import { type Drained, drainStack } from "../drain.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { withStackLockIfPossible } from "../stack/lock.ts";
import { processLabel } from "../stack/processes.ts";
import { checkLayout } from "../stack/state-directory.ts";
import { removeUnusedVersions } from "../stack/versions.ts";

/** Does `leaf down`. */
export async function runDown(context: Context, { wait = false }: DownOptions): Promise<ExitCode> {
  const { out, paths } = context;
  checkLayout(paths);
  if (!existsSync(paths.version)) return report({ atWork: [], stopped: [], killed: [] });
  const waiting = (): void => out.note(`another leaf command is at work on ${paths.dir}, waiting for it`);
  return await withStackLockIfPossible(paths, waiting, stop);

  async function stop(): Promise<ExitCode> {
    const drained = await drainStack(context, wait);
    const code = report(drained);
    await removeUnusedVersions(paths).catch((error: Error) =>
      out.note(`versions that nothing uses could not be removed: ${error.message}`),
    );
    if (drained.uncleaned === undefined) return code;
    const message = `everything is stopped, but ${paths.run} can't be cleaned up (${drained.uncleaned}): make ${paths.dir} writable, then \`leaf down\` again`;
    throw new CliError(ExitCode.refused, "not_cleaned_up", message);
  }

  function report({ atWork, stopped, killed }: Drained): ExitCode {
    const list = stopped.map((process) => ({ name: processLabel(process), pid: process.pid, killed: killed.includes(process) }));
    if (out.json) out.document({ dir: paths.dir, atWork, stopped: list });
    else if (list.length === 0) out.line("nothing was running");
    else out.line(`stopped ${list.length} processes, none is left${killed.length === 0 ? "" : `; ${killed.length} had to be killed`}`);
    return ExitCode.ok;
  }
}
