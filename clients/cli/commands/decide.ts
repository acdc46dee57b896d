import type { Command } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions } from "../context.ts";

/** What a human can answer. */
export type Answer = "approve" | "reject" | "abort";

/** Options of `leaf approve`, `leaf reject` and `leaf abort`. */
export interface DecideOptions extends CommonOptions {
  readonly gate?: string;
  readonly feedback?: string;
  readonly by?: string;
}

const SUMMARIES: Readonly<Record<Answer, string>> = {
  approve: "let a leaf do what it asks for",
  reject: "tell a leaf not to do what it asks for, and why",
  abort: "end a leaf at its question",
};

/** `leaf approve`, `leaf reject`, `leaf abort`: answer what a leaf asks. */
export function addDecisions(program: Command): void {
  for (const answer of ["approve", "reject", "abort"] as const) {
    addCommand<DecideOptions>(program, {
      name: answer,
      usage: "<leaf_id>",
      summary: SUMMARIES[answer],
      description: "`leaf get` shows what it asks. The first answer counts.",
      options: (command) =>
        command
          .option("--gate <id>", "the question, where the leaf asks several")
          .option("--feedback <text>", "what the model is told with it")
          .option("--by <name>", "who decides; default: you"),
      run: async (context, args, options) => (await import("../actions/decide.ts")).runDecide(context, args, options, answer),
    });
  }
}
