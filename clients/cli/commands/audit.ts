import type { Command } from "commander";
import { addCommand, addGroup } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** `leaf audit`: what the dispatcher wrote down of who did what. */
export function addAudit(program: Command): void {
  const group = addGroup(
    program,
    "audit",
    "prove that an audit log is as it was written",
    "The audit log tells who submitted, decided, cancelled and made tokens; each line carries the hash of the one before.",
  );
  addCommand<CommonOptions>(group, {
    name: "audit verify",
    usage: "[file...]",
    summary: "prove the chain of an audit log, and name the first line that breaks it",
    description:
      "Without a file: the log of `leaf up`. A log's current file stands for all of its files, with the .head beside it. Full files, which are named by a number, prove only the lines that they hold. Exit code 1: the log was changed.",
    run: async (context, args) => (await import("../actions/audit.ts")).runVerify(context, args),
  });
}
