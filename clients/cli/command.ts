import type { Command } from "commander";
import { readConfig } from "./config.ts";
import { type CommonOptions, type Context, createContext } from "./context.ts";
import { CliError } from "./errors.ts";
import { type CommandName, EXAMPLES } from "./examples.ts";
import { ExitCode } from "./exit-codes.ts";

/** One command of `leaf`. */
export interface Definition<O extends CommonOptions> {
  readonly name: CommandName;
  /** Arguments as commander writes them: `<needed>`, `[optional]`. */
  readonly usage?: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** What its own help says beyond that. */
  readonly description?: string;
  /** Add the options that only this command has. */
  readonly options?: (command: Command) => void;
  /** Do it. Throws what ends it with another exit code. */
  readonly run: (context: Context, args: readonly string[], options: O) => Promise<ExitCode>;
}

/** Add a command to the program, with the options that every command has and its examples in the help. */
export function addCommand<O extends CommonOptions>(program: Command, definition: Definition<O>): void {
  const { name, usage, summary, description, run } = definition;
  // Of a command in a group the group is the program.
  const word = name.split(" ").at(-1) ?? name;
  const command = program.command(usage === undefined ? word : `${word} ${usage}`);
  command.summary(summary).description(description === undefined ? summary : `${summary}\n\n${description}`);
  definition.options?.(command);
  command.option("--json", "write JSON: one document, or one a line for a stream");
  command.option("--dir <path>", "the state directory (LEAF_DIR; default: .leaf in the checkout)");
  command.addHelpText("after", `\nExamples:\n${formatExamples(name)}`);
  command.action(async () => {
    const options = command.opts<O>();
    process.exitCode = await run(createContext(readConfig(), options), command.args, options);
  });
}

/** Add a command that only holds others: by itself it shows its help. */
export function addGroup(program: Command, name: string, summary: string, description: string): Command {
  const group = program
    .command(name)
    .summary(summary)
    .description(description)
    .argument("[command]")
    .helpCommand(false)
    .action((word?: string) => {
      if (word !== undefined) throw new CliError(ExitCode.usage, "usage", `unknown command '${name} ${word}'; see \`leaf ${name} --help\``);
      group.outputHelp();
    });
  return group;
}

function formatExamples(name: CommandName): string {
  return EXAMPLES[name].map(({ line, does }) => `  $ ${line}\n      ${does}`).join("\n");
}
