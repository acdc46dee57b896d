import { ConfigError } from "@serverless-harness/kit/env";
import { Command, CommanderError } from "commander";
import { readConfig } from "./config.ts";
import { CliError, EXIT_CODE_MEANINGS, ExitCode } from "./errors.ts";
import { Output } from "./output.ts";

/** Its name and arguments, its line in `leaf --help`, and the file that completes it. */
type Listed = readonly [usage: string, summary: string, load: () => Promise<{ add(command: Command): void }>];

/** The commands, in the order of `leaf --help`. Only the one that is called is loaded, since loading takes most of the time. */
const COMMANDS: readonly Listed[] = [
  [
    "up",
    "start the stack in the background: sandbox, dispatcher, and a stand-in for the model if no key is set",
    () => import("./commands/up.ts"),
  ],
  ["down", "stop the stack and every process of it", () => import("./commands/down.ts")],
  ["status", "show what runs and what waits", () => import("./commands/status.ts")],
  ["turn <prompt>", "ask the agent and wait for its answer", () => import("./commands/turn.ts")],
  ["submit <prompt>", "queue a leaf, and print its id without waiting", () => import("./commands/submit.ts")],
  ["watch <leaf_id>", "follow a leaf's events to its end", () => import("./commands/watch.ts")],
  ["get <leaf_id>", "show a leaf's state and its result", () => import("./commands/get.ts")],
  ["list", "list leaves, newest first", () => import("./commands/list.ts")],
  ["send <leaf_id> <text>", "say something to a leaf that is not over", () => import("./commands/send.ts")],
  ["cancel <leaf_id>", "end a leaf, with everything that it runs", () => import("./commands/cancel.ts")],
  ["approve <leaf_id>", "let a leaf do what it asks for", () => import("./commands/decide.ts")],
  ["reject <leaf_id>", "tell a leaf not to do what it asks for, and why", () => import("./commands/decide.ts")],
  ["abort <leaf_id>", "end a leaf at its question", () => import("./commands/decide.ts")],
  ["redrive <leaf_id>", "queue a failed leaf again, with all its attempts ahead of it", () => import("./commands/redrive.ts")],
  ["schedule", "submit leaves by a cron expression", () => import("./commands/schedule.ts")],
  ["cron-dispatch <file>", "submit every item of a file, as a cron job does", () => import("./commands/cron-dispatch.ts")],
  ["sandbox", "list the sandboxes of the pool, drain and remove them, or make this machine one", () => import("./commands/sandbox.ts")],
  ["token", "make, list and revoke tokens for callers", () => import("./commands/token.ts")],
  ["webhook", "list and resend webhooks that were given up", () => import("./commands/webhook.ts")],
  ["limits", "show what a tenant and your token may use, and what they use", () => import("./commands/limits.ts")],
  ["audit", "prove that an audit log is as it was written", () => import("./commands/audit.ts")],
  ["ps", "list the services of the stack, or with --all every process", () => import("./commands/ps.ts")],
  ["logs [service]", "show the logs of the stack", () => import("./commands/logs.ts")],
];

/** SQLite's primary result codes for a disk that takes nothing more, https://www.sqlite.org/rescode.html */
const READ_ONLY = 8;
const FULL = 13;

const program = new Command("leaf")
  .description("Run AI coding agents that exist only while they think.")
  .version("0.1.0")
  .exitOverride()
  .configureOutput({ writeErr: () => undefined })
  .addHelpText("after", `\n${help()}`);

// A reader that has seen enough, like `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? ExitCode.ok : ExitCode.defect));

try {
  await addCommands(process.argv.slice(2));
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (error) {
  process.exitCode = await finish(error);
}

/** Add all commands to the program; complete only the one that the command line names. */
async function addCommands(words: readonly string[]): Promise<void> {
  const [first, second] = words.filter((word) => !word.startsWith("-"));
  const called = first === "help" ? second : first;
  for (const [usage, summary, load] of COMMANDS) {
    const command = program.command(usage).summary(summary);
    if (command.name() === called) (await load()).add(command);
  }
}

/** Show the error, and return the exit code. Help that was asked for ends here as well, and is no error. */
async function finish(error: unknown): Promise<number> {
  if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.ok;
  const known = await toCliError(error);
  new Output(process.argv.includes("--json"), colors()).error(known);
  return known.exitCode;
}

/** Anything thrown, as the error that ends the command. */
async function toCliError(error: unknown): Promise<CliError> {
  if (error instanceof CliError) return error;
  if (error instanceof ConfigError) return new CliError(ExitCode.usage, "bad_setting", error.message.replaceAll("\n", "; "));
  if (error instanceof CommanderError) {
    const help = `${["leaf", ...namesOf(program, process.argv.slice(2))].join(" ")} --help`;
    const message = error.message.replace(/^error: /, "").replace(/\.$/, "");
    return new CliError(ExitCode.usage, "usage", `${message}; see \`${help}\``);
  }
  const disk = diskProblem(error);
  if (disk !== undefined) return new CliError(ExitCode.refused, "disk", disk);
  return (await import("./dispatcher/call.ts")).callError(error);
}

/** What to do about an error that a full or read-only disk caused; `undefined` for any other error. */
function diskProblem(error: unknown): string | undefined {
  const { code, errcode, path = "the state directory" } = error as NodeJS.ErrnoException & { errcode?: number };
  if (code === "ENOSPC" || code === "EDQUOT" || errcode === FULL)
    return `no room is left on the disk of ${path}: make some, then try again`;
  if (code === "EROFS" || errcode === READ_ONLY) return `${path} is read-only: make it writable, or choose another place with LEAF_DIR`;
  return undefined;
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
    "  LEAF_MODEL  model for `leaf up`, as provider/model (default: anthropic/claude-sonnet-4-5 if its key is set)",
    "  LEAF_URL    a dispatcher elsewhere, with its token in LEAF_TOKEN",
    "",
    "Exit codes:",
    ...codes,
  ].join("\n");
}
