import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore } from "@serverless-harness/session";
import type { PoolConfig, Whereabouts } from "./config.ts";
import { DnsSandboxes } from "./dns-sandboxes.ts";
import { fixedSandboxes, sandboxesOfFile } from "./listed-sandboxes.ts";
import { Pool } from "./pool.ts";
import type { FoundSandbox, SandboxSource } from "./source.ts";

/** The pool of the sandboxes that the settings name, and of those that dialled in. Throws a ConfigError for a file that can't be used. */
export function openPool(
  config: PoolConfig,
  store: Pick<LeafStore, "sandboxes">,
  dialledIn: () => readonly FoundSandbox[],
  log: Logger,
): Pool {
  return new Pool({ store, config, sources: [...sourcesAt(config.whereabouts, log), { found: dialledIn }], log });
}

function sourcesAt(whereabouts: Whereabouts, log: Logger): SandboxSource[] {
  switch (whereabouts.kind) {
    case "nowhere":
      return [];
    case "list":
      return [fixedSandboxes(whereabouts.sandboxes)];
    case "file":
      return [sandboxesOfFile(whereabouts.path, log)];
    case "dns":
      return [new DnsSandboxes(whereabouts.name)];
  }
}
