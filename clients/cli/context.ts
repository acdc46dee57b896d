import { resolve } from "node:path";
import type { CliConfig } from "./config.ts";
import { Output } from "./output.ts";
import { type StackPaths, stackPaths } from "./stack/paths.ts";

/** Options that every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly dir?: string;
}

/** What every command works with. */
export interface Context {
  readonly config: CliConfig;
  readonly out: Output;
  readonly paths: StackPaths;
}

/** The context of one call. An option on the command line wins over the environment. */
export function createContext(config: CliConfig, options: CommonOptions): Context {
  const dir = options.dir === undefined ? config.dir : resolve(options.dir);
  return { config: { ...config, dir }, out: new Output(options.json === true, config.colors), paths: stackPaths(dir) };
}
