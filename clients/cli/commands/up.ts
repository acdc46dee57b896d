import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { define } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { drainStack } from "../dispatcher/drain.ts";
import { startWithPool } from "../dispatcher/resize.ts";
import { interruptible } from "../interrupt.ts";
import { wholeNumber } from "../options/values.ts";
import { withStackLock } from "../stack/lock.ts";
import { describeModel } from "../stack/model.ts";
import {
  choosePort,
  NETWORKS,
  type Network,
  planStack,
  SANDBOXES,
  type SandboxKind,
  type StackPlan,
  type StackWishes,
} from "../stack/plan.ts";
import { MAX_SANDBOXES, sandboxName, sandboxServices } from "../stack/pool.ts";
import { ensurePrivateDirectory } from "../stack/private-files.ts";
import type { Version } from "../stack/programs.ts";
import { runningVersion, servicePid } from "../stack/record.ts";
import { repositories } from "../stack/repositories.ts";
import { StartError } from "../stack/start.ts";
import { checkLayout, prepareStateDirectory } from "../stack/state-directory.ts";
import { describeStore } from "../stack/store.ts";
import { requireUsableSettings, type UpResult } from "../stack/up.ts";
import { compareVersions, prepareVersion, removeUnusedVersions } from "../stack/versions.ts";
import { outdatedText } from "../view/stack-text.ts";

interface UpOptions extends CommonOptions, StackWishes {
  readonly sandbox?: SandboxKind;
  readonly network?: Network;
}

/** `leaf up`: start what is missing. */
export function add(command: Command): void {
  const network = "a jailed command reaches public addresses, all of the host's, none (default: public)";
  define<UpOptions>(command, {
    description:
      "Starts only what is not running, in the version that runs; says if the checkout has another one. Brains are not started: the dispatcher wakes one when there is work.",
    options: (given) =>
      given
        .option("--port <n>", "port of the dispatcher on 127.0.0.1, 0 for a free one (LEAF_PORT; default: 7433)", wholeNumber(0, 65535))
        .addOption(new Option("--sandbox <kind>", "bwrap: a jail; process: none (default: bwrap)").choices(SANDBOXES))
        .option("--restart", "suspend what is at work, stop what runs, and start the version that the checkout has")
        .option("--model <provider/model>", "the model, or stand-in (LEAF_MODEL; default: by the keys that are set)")
        .option("--redis <url>", "keep leaves and sessions in this Redis (LEAF_REDIS; default: a database in the state directory)")
        .option(
          "--repositories <dir>",
          "clone git repositories below this directory by their paths, read-only; may be repeated (default: none)",
          repositories,
        )
        .option(
          "--sandboxes <n>",
          "how many sandboxes sessions are placed in, kept until another number is asked for (default: 1)",
          wholeNumber(1, MAX_SANDBOXES),
        )
        .addOption(new Option("--network <reach>", network).choices(NETWORKS)),
    run: up,
  });
}

async function up(context: Context, _args: readonly string[], options: UpOptions): Promise<void> {
  const { out, paths, config } = context;
  checkLayout(paths);
  ensurePrivateDirectory(paths.dir);
  const waiting = (): void => out.note(`another leaf command is at work on ${paths.dir}, waiting for it`);
  await withStackLock(paths, waiting, async () => {
    const wishes = planStack(paths, config.environment, options);
    await prepareStateDirectory(paths);
    const plan = { ...wishes, version: await chooseVersion(context, options.restart === true) };
    const port = choosePort(paths, options.port ?? config.port);
    if (options.restart) {
      await requireUsableSettings(plan, port);
      await drainStack(context, false);
      await prepareStateDirectory(paths);
    }
    const interrupt = interruptible(0, () => "what was started is stopped again");
    try {
      report(context, plan, await startWithPool(context, plan, port, interrupt.signal));
      await removeUnusedVersions(paths);
    } catch (error) {
      if (error instanceof StartError) for (const line of error.log) out.warn(line);
      throw error;
    } finally {
      interrupt.release();
    }
  });
}

/** All parts of a stack have one version: missing parts are started in the version that runs. */
async function chooseVersion({ paths }: Context, restart: boolean): Promise<Version> {
  const running = restart ? undefined : runningVersion(paths);
  return running !== undefined && existsSync(running.root) ? running : await prepareVersion(paths);
}

function report(context: Context, plan: StackPlan, result: UpResult): void {
  const { out, paths } = context;
  const { records, started } = result;
  const url = records.find(({ name }) => name === "dispatcher")?.address ?? "";
  const version = compareVersions(paths);
  if (!out.json) {
    for (const note of plan.notes) out.warn(note);
    for (const line of describe(context, plan, result, url)) out.line(line);
    if (version.outdated) out.warn(outdatedText(version));
    if (started.length > 0) out.note('try: leaf turn "Run: uname"   stop: leaf down');
    return;
  }
  const { sandbox, network, sandboxes, repositories: clones, model, store } = plan;
  const processes = records.map((record) => ({
    name: record.name,
    pid: servicePid(paths, record) ?? null,
    address: record.address,
    started: started.includes(record.name),
  }));
  const chosen = { sandbox, network, sandboxes, repositories: clones, model: model.model, standIn: model.standIn, store: store.name };
  out.document({ dir: paths.dir, url, ...chosen, version, processes });
}

function describe({ out, paths }: Context, plan: StackPlan, { records, started }: UpResult, url: string): string[] {
  const { color } = out;
  const { model, store, sandbox, network, sandboxes, isPool, repositories: clones } = plan;
  const jail = sandbox === "bwrap" ? `bubblewrap jail, network: ${network}` : color.yellow("none: commands run as you, without a jail");
  return [
    `${started.length === 0 ? "already up" : color.green("up")}: ${url}`,
    `  model    ${describeModel(model)}`,
    `  sandbox  ${jail}`,
    ...(isPool ? [`  pool     ${sandboxServices(sandboxes).map(sandboxName).join(", ")}`] : []),
    ...(clones === "" ? [] : [`  clones   ${clones.split(":").join(", ")}`]),
    `  store    ${describeStore(store)}`,
    `  state    ${paths.dir}`,
    ...records.map((record) => {
      const ranAlready = started.includes(record.name) ? "" : color.dim(" (ran already)");
      return `  ${record.name.padEnd(10)} pid ${servicePid(paths, record) ?? "none"}${ranAlready}`;
    }),
  ];
}
