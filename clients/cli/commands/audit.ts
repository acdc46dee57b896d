import { existsSync } from "node:fs";
import { type Verdict, verifyLog } from "@serverless-harness/kit/chained-log/verify";
import type { Command } from "commander";
import { addCommand, defineGroup } from "../command.ts";
import { CliError, ExitCode } from "../errors.ts";

/** `leaf audit`: prove that an audit log is as the dispatcher wrote it. */
export function add(group: Command): void {
  defineGroup(group, "The audit log says who submitted, decided, cancelled and made tokens; each line carries the hash of the one before.");
  addCommand(group, "verify [file...]", "prove the chain of an audit log, and name the first line that breaks it", {
    description:
      "Without a file: the log of `leaf up`. A log's current file stands for all of its files, with the .head beside it. " +
      "Full files, which have a number in their name, prove only the lines that they hold. Exit code 1: the log was changed.",
    run: async ({ out, paths }, files) => {
      const verdict = await verify(files.length === 0 ? [paths.auditLog] : files);
      const { broken, lines, end } = verdict;
      if (out.json) out.document({ ok: broken === undefined, ...verdict });
      else if (broken !== undefined) out.warn(`${broken.file} line ${broken.line}: ${broken.problem}`);
      else out.line(`${lines} lines are as they were written${unproven(verdict)}; the last is ${end.seq}, ${end.hash}`);
      if (broken !== undefined) process.exitCode = ExitCode.leafFailed;
    },
  });
}

async function verify(files: readonly string[]): Promise<Verdict> {
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) throw new CliError(ExitCode.notFound, "log_not_found", `there is no audit log at ${missing}`);
  try {
    return await verifyLog(files);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new CliError(ExitCode.usage, "log_unreadable", `the audit log can't be verified: ${text}`, error);
  }
}

/** What the lines don't prove. */
function unproven({ firstSeq, removed }: Verdict): string {
  if (firstSeq <= 1) return "";
  return `, from ${firstSeq} on; ${removed ? "older ones were removed as the settings say" : "older ones were not looked at"}`;
}
