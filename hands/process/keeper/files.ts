import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import type { KeeperFiles } from "./launcher.ts";

/** The fork server's programs. A {@link ConfigError} that says how to build them if they are missing. */
export function keeperFiles(): KeeperFiles {
  return {
    keeper: built(new URL("./build/keeper", import.meta.url)),
    zygote: fileURLToPath(new URL("./build/zygote.so", import.meta.url)),
  };
}

/** The guard's program. A {@link ConfigError} that says how to build it if it is missing. */
export function guardFile(): string {
  return built(new URL("./build/guard", import.meta.url));
}

/** What build.sh makes. */
function built(file: URL): string {
  const path = fileURLToPath(file);
  if (existsSync(path)) return path;
  throw new ConfigError(`${path} is missing: build it with \`sh hands/process/keeper/build.sh\` (npm run setup does so)`);
}
