import { Command, CommanderError } from "commander";
import { addAudit } from "./commands/audit.ts";
import { addCancel } from "./commands/cancel.ts";
import { addCronDispatch } from "./commands/cron-dispatch.ts";
import { addDecisions } from "./commands/decide.ts";
import { addDown } from "./commands/down.ts";
import { addGet } from "./commands/get.ts";
import { addLimits } from "./commands/limits.ts";
import { addList } from "./commands/list.ts";
import { addLogs } from "./commands/logs.ts";
import { addPs } from "./commands/ps.ts";
import { addRedrive } from "./commands/redrive.ts";
import { addSchedule } from "./commands/schedule.ts";
import { addSend } from "./commands/send.ts";
import { addStatus } from "./commands/status.ts";
import { addSubmit } from "./commands/submit.ts";
import { addToken } from "./commands/token.ts";
import { addTurn } from "./commands/turn.ts";
import { addUp } from "./commands/up.ts";
import { addWatch } from "./commands/watch.ts";
import { addWebhook } from "./commands/webhook.ts";
import { readConfig } from "./config.ts";
import { CliError } from "./errors.ts";
import { EXIT_CODE_MEANINGS, ExitCode } from "./exit-codes.ts";
import { Output } from "./output.ts";
import { toCliError } from "./to-cli-error.ts";

const program = new Command("leaf")
  .description("Run AI coding agents that exist only while they think.")
  .version("0.1.0")
  .exitOverride()
  .configureOutput({ writeErr: () => undefined })
  .addHelpText("after", `\n${help()}`);

for (const add of [
  addUp,
  addDown,
  addStatus,
  addTurn,
  addSubmit,
  addWatch,
  addGet,
  addList,
  addSend,
  addCancel,
  addDecisions,
  addRedrive,
  addSchedule,
  addCronDispatch,
  addToken,
  addWebhook,
  addLimits,
  addAudit,
  addPs,
  addLogs,
])
  add(program);

// A reader that has seen enough, as `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? ExitCode.ok : ExitCode.defect));

try {
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (error) {
  process.exitCode = await finish(error);
}

/** Tell the error, and return the exit code. Help that was asked for ends here as well, and is none. */
async function finish(error: unknown): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.ok;
  const known = withHint(await toCliError(error), error);
  new Output(process.argv.includes("--json"), colors()).error(known);
  return known.exitCode;
}

/** A command line that can't be read is answered with where to read about it. */
function withHint(known: CliError, error: unknown): CliError {
  if (!(error instanceof CommanderError)) return known;
  const help = `${["leaf", ...namesOf(program, process.argv.slice(2))].join(" ")} --help`;
  return new CliError(known.exitCode, known.reason, `${known.message.replace(/\.$/, "")}; see \`${help}\``);
}

/** The names of the command that a command line begins with. */
function namesOf(group: Command, [word, ...rest]: readonly string[]): string[] {
  const command = group.commands.find((candidate) => candidate.name() === word);
  return command === undefined ? [] : [command.name(), ...namesOf(command, rest)];
}

/** The environment itself may be what is wrong. */
function colors(): { stdout: boolean; stderr: boolean } {
  try {
    return readConfig().colors;
  } catch {
    return { stdout: false, stderr: false };
  }
}

function help(): string {
  const codes = Object.entries(EXIT_CODE_MEANINGS).map(([code, meaning]) => `  ${code.padStart(3)}  ${meaning}`);
  return [
    "Environment:",
    "  LEAF_DIR    the state directory (default: .leaf in the checkout)",
    "  LEAF_PORT   port for `leaf up` (default: 7433)",
    "  LEAF_MODEL  model for `leaf up`, as provider/model (default: anthropic/claude-sonnet-4-5 where its key is set)",
    "  LEAF_URL    a dispatcher elsewhere, with its token in LEAF_TOKEN",
    "",
    "Exit codes:",
    ...codes,
  ].join("\n");
}
