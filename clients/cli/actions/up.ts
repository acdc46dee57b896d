import { existsSync } from "node:fs";
import type { UpOptions } from "../commands/up.ts";
import type { Context } from "../context.ts";
import { drainStack } from "../drain.ts";
import { ExitCode } from "../exit-codes.ts";
import { interruptible } from "../interrupt.ts";
import { withStackLock } from "../stack/lock.ts";
import { describeModel } from "../stack/model.ts";
import { choosePort, planStack } from "../stack/plan.ts";
import { ensurePrivateDirectory } from "../stack/private-directory.ts";
import { runningVersion, servicePid } from "../stack/record.ts";
import type { StackPlan } from "../stack/services.ts";
import { StartError } from "../stack/start.ts";
import { checkLayout, prepareStateDirectory } from "../stack/state-directory.ts";
import { compareVersions } from "../stack/status.ts";
import { describeStore } from "../stack/store.ts";
import { requireUsableSettings, startStack, type UpResult } from "../stack/up.ts";
import { prepareVersion, removeUnusedVersions, type Version } from "../stack/versions.ts";
import { outdatedText } from "../view/version-text.ts";

/** Does `leaf up`. */
export async function runUp(context: Context, _args: readonly string[], options: UpOptions): Promise<ExitCode> {
  const { out, paths, config } = context;
  checkLayout(paths);
  ensurePrivateDirectory(paths.dir);
  const waiting = (): void => out.note(`another leaf command is at work on ${paths.dir}, waiting for it`);
  return await withStackLock(paths, waiting, async () => {
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
      report(context, plan, await startStack(plan, port, interrupt.signal));
      await removeUnusedVersions(paths);
    } catch (error) {
      if (error instanceof StartError) for (const line of error.log) out.warn(line);
      throw error;
    } finally {
      interrupt.release();
    }
    return ExitCode.ok;
  });
}

/** The parts of a stack are of one version: what is missing is started in the one that runs. */
async function chooseVersion({ paths }: Context, restart: boolean): Promise<Version> {
  const running = restart ? undefined : runningVersion(paths);
  return running !== undefined && existsSync(running.root) ? running : await prepareVersion(paths);
}

function report(
  { out, paths }: Context,
  { model, store, sandbox, network, repositories, notes }: StackPlan,
  { records, started }: UpResult,
): void {
  const url = records.find(({ name }) => name === "dispatcher")?.address ?? "";
  const version = compareVersions(paths);
  if (out.json) {
    const processes = records.map((record) => ({
      name: record.name,
      pid: servicePid(paths, record) ?? null,
      address: record.address,
      started: started.includes(record.name),
    }));
    out.document({
      dir: paths.dir,
      url,
      sandbox,
      network,
      repositories,
      model: model.model,
      standIn: model.standIn,
      store: store.name,
      version,
      processes,
    });
    return;
  }
  for (const note of notes) out.warn(note);
  const { color } = out;
  out.line(`${started.length === 0 ? "already up" : color.green("up")}: ${url}`);
  out.line(`  model    ${describeModel(model)}`);
  out.line(
    `  sandbox  ${sandbox === "bwrap" ? `bubblewrap jail, network: ${network}` : color.yellow("none: commands run as you, without a jail")}`,
  );
  if (repositories !== "") out.line(`  clones   ${repositories.split(":").join(", ")}`);
  out.line(`  store    ${describeStore(store)}`);
  out.line(`  state    ${paths.dir}`);
  for (const record of records) {
    const ranAlready = started.includes(record.name) ? "" : color.dim(" (ran already)");
    out.line(`  ${record.name.padEnd(10)} pid ${servicePid(paths, record) ?? "none"}${ranAlready}`);
  }
  if (version.outdated) out.warn(outdatedText(version));
  if (started.length > 0) out.note('try: leaf turn "Run: uname"   stop: leaf down');
}
