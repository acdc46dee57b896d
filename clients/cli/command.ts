import type { Command } from "commander";
import { readConfig } from "./config.ts";
import { type CommonOptions, type Context, createContext } from "./context.ts";
import { CliError, ExitCode } from "./errors.ts";
import { type CommandName, EXAMPLES } from "./examples.ts";

/** What one command of `leaf` does. */
export interface Definition<O extends CommonOptions> {
  /** What its own help says after the summary. */
  readonly description?: string;
  /** Add the options that only this command has. */
  readonly options?: (command: Command) => Command;
  /** Do it. To end with another exit code than 0, throw a CliError, or set `process.exitCode`. */
  readonly run: (context: Context, args: readonly string[], options: O) => Promise<void>;
}

/** Complete a command with the options that every command has, and with its examples in the help. */
export function define<O extends CommonOptions>(command: Command, { description, options, run }: Definition<O>): void {
  const summary = command.summary();
  command.description(description === undefined ? summary : `${summary}\n\n${description}`);
  options?.(command);
  command.option("--json", "write JSON: one document, or one a line for a stream");
  command.option("--dir <path>", "the state directory (LEAF_DIR; default: .leaf in the checkout)");
  command.addHelpText("after", `\nExamples:\n${formatExamples(fullName(command))}`);
  command.action(async () => {
    const given = command.opts<O>();
    await run(createContext(readConfig(), given), command.args, given);
  });
}

/** Add a command to a group. `usage` is its name and arguments as commander writes them: `get <needed> [optional]`. */
export function addCommand<O extends CommonOptions>(group: Command, usage: string, summary: string, definition: Definition<O>): void {
  define(group.command(usage).summary(summary), definition);
}

/** Make a command a group, which only holds others: by itself it shows its help. */
export function defineGroup(group: Command, description: string): void {
  const name = group.name();
  group
    .description(description)
    .argument("[command]")
    .helpCommand(false)
    .action((word?: string) => {
      if (word !== undefined) throw new CliError(ExitCode.usage, "usage", `unknown command '${name} ${word}'; see \`leaf ${name} --help\``);
      group.outputHelp();
    });
}

/** Its name after `leaf`, as `schedule get`. */
function fullName(command: Command): string {
  const { parent } = command;
  return parent === null || parent.parent === null ? command.name() : `${fullName(parent)} ${command.name()}`;
}

function formatExamples(name: string): string {
  return EXAMPLES[name as CommandName].map(({ line, does }) => `  $ ${line}\n      ${does}`).join("\n");
}
