import type { ListSandboxesResponse } from "@serverless-harness/proto/leaf";
import type { Command } from "commander";
import { define } from "../command.ts";
import type { Context } from "../context.ts";
import { readStatus, type StackStatus } from "../dispatcher/status.ts";
import { ExitCode } from "../errors.ts";
import type { Colors } from "../output.ts";
import { describeModel } from "../stack/model.ts";
import { isSandbox, readPoolSize, sandboxName } from "../stack/pool.ts";
import { compareVersions, type VersionStatus } from "../stack/versions.ts";
import { ago } from "../view/format.ts";
import { sandboxJson, sandboxLine, sandboxState } from "../view/sandbox-text.ts";
import { lifeLines, outdatedText } from "../view/stack-text.ts";

/** `leaf status`: what runs, and what waits. */
export function add(command: Command): void {
  define(command, {
    description: "The exit code is 3 if nothing runs, or if a part of the stack does not answer.",
    run: async (context) => {
      const { out, paths, config } = context;
      const status = await readStatus(context);
      // The version that runs, and whether the checkout has another one; a dispatcher elsewhere tells its own.
      const version = config.url === undefined ? compareVersions(paths) : undefined;
      const healthy = status.health.status === "ok" && status.missing.length === 0;
      if (out.json) out.document(statusJson(context, status, version, healthy));
      else for (const line of describe(context, status, version)) out.line(line);
      if (healthy) return;
      out.warn("something is missing: `leaf up` starts it again, `leaf logs` says why it ended");
      process.exitCode = ExitCode.notRunning;
    },
  });
}

function statusJson({ paths }: Context, status: StackStatus, version: VersionStatus | undefined, healthy: boolean): object {
  const { pool, ...rest } = status;
  const sandboxes = pool?.sandboxes.map((sandbox) => ({
    ...(sandboxJson(sandbox) as object),
    state: sandboxState(sandbox, pool.nowMs),
  }));
  return { dir: paths.dir, healthy, ...rest, version, pid: status.pid ?? null, sandboxes };
}

function describe({ out, config, paths }: Context, status: StackStatus, version: VersionStatus | undefined): string[] {
  const { color } = out;
  const { health, parts, missing } = status;
  const state = (ok: boolean, word: string): string => (ok ? color.green(word) : color.red(word));
  const isPool = readPoolSize(paths) !== undefined;
  const label = (name: string): string => (isPool && isSandbox(name) ? sandboxName(name) : name);
  const { backlog, brains = [] } = health;
  return [
    `dispatcher  ${state(health.status === "ok", health.status)}  ${status.url}${status.pid === undefined ? "" : `  pid ${status.pid}`}  version ${health.version}`,
    ...(health.problem === undefined ? [] : [`            ${health.problem}`]),
    ...parts.map(({ name: service, healthy, pid, settings }) => {
      const name = label(service);
      const kind = isSandbox(service) ? `  sandbox: ${settings["sandbox"]}, network: ${settings["network"]}` : "";
      const word = healthy ? "ok" : pid === null ? "is started again" : "does not answer";
      return `${name.padEnd(10)}  ${state(healthy, word)}${pid === null ? "" : `  pid ${pid}`}${kind}`;
    }),
    ...missing
      .filter((name) => !parts.some((part) => part.name === name))
      .map((name) => `${label(name).padEnd(10)}  ${state(false, "not running")}`),
    ...Object.entries(status.lives).flatMap(([name, life]) => lifeLines(label(name), life).map((line) => color.yellow(line))),
    ...(status.model === undefined ? [] : [`answers     ${describeModel({ standIn: status.standIn, model: status.model, notes: [] })}`]),
    ...(backlog === undefined ? [] : [`leaves      ${backlog.ready} ready, ${backlog.running} running`]),
    ...poolLines(status.pool, color),
    `brains      ${brains.length === 0 ? "none" : brains.map((brain) => `pid ${brain.pid}, for ${ago(brain.startedAt)}`).join("; ")}`,
    ...(health.brainsStarted === undefined
      ? []
      : [`so far      ${health.brainsStarted} brains started, ${health.brainsCrashed} crashed, ${health.brainSeconds} brain-seconds`]),
    ...(version?.outdated === true ? [color.yellow(`version     ${outdatedText(version)}`)] : []),
    ...(config.url === undefined ? [`state       ${paths.dir}`] : []),
  ];
}

/** A line for each sandbox of the pool. */
function poolLines(pool: ListSandboxesResponse | undefined, color: Colors): string[] {
  if (pool === undefined) return [];
  const { sandboxes, nowMs } = pool;
  const lines = sandboxes.length === 0 ? [color.red("the pool is empty")] : sandboxes.map((sandbox) => sandboxLine(sandbox, nowMs, color));
  return lines.map((line, i) => `${i === 0 ? "sandboxes" : "         "}   ${line}`);
}
