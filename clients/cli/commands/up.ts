import { type Command, Option } from "commander";
import { addCommand } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { ExitCode } from "../exit-codes.ts";
import { wholeNumber } from "../parse.ts";
import { withStackLock } from "../stack/lock.ts";
import { describeModel } from "../stack/model.ts";
import { choosePort, planStack, type StackWishes } from "../stack/plan.ts";
import { ensurePrivateDirectory } from "../stack/private-directory.ts";
import { SANDBOXES, type SandboxKind } from "../stack/sandbox.ts";
import { NETWORKS, type Network, type StackPlan } from "../stack/services.ts";
import { StartError } from "../stack/start.ts";
import { checkLayout, prepareStateDirectory } from "../stack/state-directory.ts";
import { startStack, type UpResult } from "../stack/up.ts";

interface Options extends CommonOptions, StackWishes {
  readonly sandbox?: SandboxKind;
  readonly network?: Network;
}

/** `leaf up`: start what is missing. */
export function addUp(program: Command): void {
  addCommand<Options>(program, {
    name: "up",
    summary: "start the stack in the background: sandbox, dispatcher, and a stand-in for the model where no key is set",
    description: "Starts only what is not running. Brains are not started: the dispatcher wakes one when there is work.",
    options: (command) =>
      command
        .option("--port <n>", "port of the dispatcher on 127.0.0.1, 0 for a free one (LEAF_PORT; default: 7433)", wholeNumber(0, 65535))
        .addOption(new Option("--sandbox <kind>", "bwrap: a jail; process: none (default: bwrap)").choices(SANDBOXES))
        .option("--model <provider/model>", "the model, or stand-in (LEAF_MODEL; default: by the keys that are set)")
        .addOption(new Option("--network <reach>", "what a jailed command reaches (default: host)").choices(NETWORKS)),
    run: runUp,
  });
}

async function runUp(context: Context, _args: readonly string[], options: Options): Promise<ExitCode> {
  const { out, paths, config } = context;
  checkLayout(paths);
  ensurePrivateDirectory(paths.dir);
  const waiting = (): void => out.note(`another leaf command is at work on ${paths.dir}, waiting for it`);
  return await withStackLock(paths, waiting, async () => {
    const plan = planStack(paths, config.environment, options);
    prepareStateDirectory(paths);
    try {
      report(context, plan, await startStack(plan, choosePort(paths, options.port ?? config.port)));
    } catch (error) {
      if (error instanceof StartError) for (const line of error.log) out.warn(line);
      throw error;
    }
    return ExitCode.ok;
  });
}

function report({ out, paths }: Context, { model, sandbox, network, notes }: StackPlan, { records, started }: UpResult): void {
  const url = records.find(({ name }) => name === "dispatcher")?.address ?? "";
  if (out.json) {
    const processes = records.map(({ name, pid, address }) => ({ name, pid, address, started: started.includes(name) }));
    out.document({ dir: paths.dir, url, sandbox, network, model: model.model, standIn: model.standIn, processes });
    return;
  }
  for (const note of notes) out.warn(note);
  const { color } = out;
  out.line(`${started.length === 0 ? "already up" : color.green("up")}: ${url}`);
  out.line(`  model    ${describeModel(model)}`);
  out.line(
    `  sandbox  ${sandbox === "bwrap" ? `bubblewrap jail, network: ${network}` : color.yellow("none: commands run as you, without a jail")}`,
  );
  out.line(`  state    ${paths.dir}`);
  for (const { name, pid } of records)
    out.line(`  ${name.padEnd(10)} pid ${pid}${started.includes(name) ? "" : color.dim(" (ran already)")}`);
  if (started.length > 0) out.note('try: leaf turn "Run: uname"   stop: leaf down');
}
