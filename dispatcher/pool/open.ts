import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore } from "@serverless-harness/session";
import type { PoolConfig, Whereabouts } from "./config.ts";
import { DnsSandboxes } from "./dns-sandboxes.ts";
import type { KubernetesService } from "./kubernetes-service.ts";
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
    case "kubernetes":
      return [sandboxesOfService(whereabouts.service)];
  }
}

/** The pods of a service. The client of Kubernetes is loaded by the first look, as most dispatchers need none. */
function sandboxesOfService(service: KubernetesService): SandboxSource {
  let loaded: SandboxSource | undefined;
  return {
    found: () => loaded?.found() ?? [],
    look: async () => {
      if (loaded === undefined) {
        const { KubernetesSandboxes } = await import("./kubernetes-sandboxes.ts");
        loaded = new KubernetesSandboxes(service);
      }
      await loaded.look?.();
    },
    close: () => loaded?.close?.(),
  };
}
