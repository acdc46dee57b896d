import { fileURLToPath } from "node:url";
import type { Logger } from "@serverless-harness/kit/log";
import type { HandsConfig } from "./config.ts";
import { keeperFiles } from "./keeper/files.ts";
import { KeeperLauncher } from "./keeper/launcher.ts";
import type { Launcher } from "./launcher.ts";
import { NodeLauncher } from "./node-launcher.ts";

/** What starts commands. In the jail the keeper and all it starts get a jail of their own, out of reach of the daemon. */
export function chooseLauncher(config: HandsConfig, log: Logger): Launcher {
  if (config.launcher === "node") {
    if (config.jailed) log.warn("HANDS_LAUNCHER=node: commands share the daemon's own namespaces");
    return new NodeLauncher();
  }
  const files = keeperFiles();
  return new KeeperLauncher(config.jailed ? { ...files, keeper: fileURLToPath(new URL("./jail-keeper.sh", import.meta.url)) } : files);
}
