import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import type { KeeperFiles } from "./launcher.ts";

/** The fork server's programs beside this file. A {@link ConfigError} that says how to build them where they are missing. */
export function keeperFiles(): KeeperFiles {
  const keeper = fileURLToPath(new URL("./build/keeper", import.meta.url));
  const zygote = fileURLToPath(new URL("./build/zygote.so", import.meta.url));
  if (!existsSync(keeper))
    throw new ConfigError(`${keeper} is missing: build it with \`sh hands/keeper/build.sh\` (npm run setup does so)`);
  return { keeper, zygote };
}
