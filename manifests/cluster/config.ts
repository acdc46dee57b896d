import { join } from "node:path";
import { cacheDirectory } from "../../scripts/cache.ts";

/** What the test cluster reads from the environment. */
export interface Settings {
  /** Where built programs and the running cluster's state are: below the user's cache, never in the checkout. */
  readonly cache: string;
  /** A cluster that is there already (KUBECONFIG): then `test` uses it and nothing is started here. */
  readonly kubeconfig: string | undefined;
}

/** Read `XDG_CACHE_HOME` (default: `~/.cache`) and `KUBECONFIG`; throws if one says nothing sensible. */
export function readSettings(environment: Readonly<Record<string, string | undefined>> = process.env): Settings {
  return { cache: join(cacheDirectory(environment), "cluster"), kubeconfig: environment["KUBECONFIG"] || undefined };
}

/** This process's environment with what programs of ours need, and without a kubeconfig that is not the test cluster's. */
export function childEnvironment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const { KUBECONFIG: _, ...rest } = process.env;
  return { ...rest, PATH: `${rest["PATH"] ?? ""}:/usr/sbin:/sbin`, ...more };
}
