import { join, resolve } from "node:path";
import { EnvReader } from "@serverless-harness/kit/env";

/** The caller's variables, for the services that `leaf up` starts. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Settings of the CLI. Options on the command line come before them. */
export interface CliConfig {
  /** `LEAF_DIR`: the state directory. Default `.leaf` in the checkout. */
  readonly dir: string;
  /** `LEAF_PORT`: port of the dispatcher that `leaf up` starts; 0 takes a free one. */
  readonly port: number | undefined;
  /** `LEAF_URL`: a dispatcher elsewhere, instead of the one in the state directory. */
  readonly url: string | undefined;
  /** `LEAF_TOKEN`: the token for it, instead of the one in the state directory. */
  readonly token: string | undefined;
  /** `JOB_NAME`: the fire of `leaf cron-dispatch`. A Kubernetes Job sets it, to the same value when it tries a pod again. */
  readonly jobName: string | undefined;
  /** Colours per stream: on a terminal only. `NO_COLOR` turns them off, `FORCE_COLOR` on. */
  readonly colors: { readonly stdout: boolean; readonly stderr: boolean };
  readonly environment: Environment;
}

/** The checkout that this CLI belongs to. */
export const REPOSITORY = resolve(import.meta.dirname, "../..");

/** Port of the dispatcher unless another one is asked for. */
export const DEFAULT_PORT = 7433;

/** Read the environment. Throws a ConfigError that lists every problem. */
export function readConfig(environment: Environment = process.env): CliConfig {
  const env = new EnvReader(environment);
  const color = (stream: NodeJS.WriteStream): boolean =>
    env.optional("NO_COLOR") === undefined &&
    (env.optional("FORCE_COLOR") !== undefined || (stream.isTTY === true && env.optional("TERM") !== "dumb"));
  return env.done({
    dir: resolve(env.string("LEAF_DIR", join(REPOSITORY, ".leaf"))),
    port: env.optional("LEAF_PORT") === undefined ? undefined : env.integer("LEAF_PORT", DEFAULT_PORT, 0, 65535),
    url: env.optional("LEAF_URL"),
    token: env.optional("LEAF_TOKEN"),
    jobName: env.optional("JOB_NAME"),
    colors: { stdout: color(process.stdout), stderr: color(process.stderr) },
    environment,
  });
}
