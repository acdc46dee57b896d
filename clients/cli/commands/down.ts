import { existsSync } from "node:fs";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { type Drained, drainStack } from "../dispatcher/drain.ts";
import { CliError, ExitCode } from "../errors.ts";
import { namesOf } from "../stack/down.ts";
import { withStackLockIfPossible } from "../stack/lock.ts";
import { processLabel } from "../stack/processes.ts";
import { checkLayout } from "../stack/state-directory.ts";
import { removeUnusedVersions } from "../stack/versions.ts";

interface DownOptions extends CommonOptions {
  readonly wait?: boolean;
}

/** `leaf down`: stop everything. */
export function add(command: Command): void {
  define<DownOptions>(command, {
    description:
      "Running leaves are suspended, and go on after the next `leaf up`. Commands and terminals end with the sandbox: the model is told so when " +
      "its leaf goes on. What is at work is listed first; --wait waits for it. Nothing that was durable is removed.",
    options: (given) => given.option("--wait", "wait until no leaf and no leaf's command runs; Ctrl-C stops the wait, and nothing else"),
    run: async (context, _args, { wait = false }) => {
      const { out, paths } = context;
      checkLayout(paths);
      if (!existsSync(paths.version)) return report(context, { atWork: [], stopped: [], killed: [] });
      const waiting = (): void => out.note(`another leaf command is at work on ${paths.dir}, waiting for it`);
      await withStackLockIfPossible(paths, waiting, () => stop(context, wait));
    },
  });
}

async function stop(context: Context, wait: boolean): Promise<void> {
  const { out, paths } = context;
  const drained = await drainStack(context, wait);
  report(context, drained);
  await removeUnusedVersions(paths).catch((error: Error) => out.note(`can't remove versions that nothing uses: ${error.message}`));
  if (drained.uncleaned === undefined) return;
  const message = `everything is stopped, but ${paths.run} can't be cleaned up (${drained.uncleaned}): make ${paths.dir} writable, then \`leaf down\` again`;
  throw new CliError(ExitCode.refused, "not_cleaned_up", message);
}

function report({ out, paths }: Context, { atWork, stopped, killed }: Drained): void {
  const list = stopped.map((process) => ({ name: processLabel(process), pid: process.pid, killed: killed.includes(process) }));
  const rest = killed.length === 0 ? "" : `; ${killed.length} had to be killed: ${namesOf(killed)}`;
  const text = list.length === 0 ? "nothing was running" : `stopped ${list.length} processes, none is left${rest}`;
  out.answer({ dir: paths.dir, atWork, stopped: list }, text);
}
