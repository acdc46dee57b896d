import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import type { NetworkPrograms } from "./network.ts";

const DIRECTORIES = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/** The programs that networks are made with. A {@link ConfigError} that says how to get them where one is missing. */
export function networkPrograms(): NetworkPrograms {
  const network = fileURLToPath(new URL("./build/network", import.meta.url));
  if (!isExecutable(network))
    throw new ConfigError(`${network} is missing: build it with \`sh hands/network/build.sh\` (npm run setup does so)`);
  return { network, slirp4netns: find("slirp4netns", "slirp4netns"), nft: find("nft", "nftables") };
}

function find(name: string, debianPackage: string): string {
  const found = DIRECTORIES.map((directory) => join(directory, name)).find(isExecutable);
  if (found !== undefined) return found;
  throw new ConfigError(
    `${name} is not installed: install it (Debian: apt-get install ${debianPackage}), or choose HANDS_NETWORK=none (commands reach nothing) ` +
      "or HANDS_NETWORK=host (all that this machine reaches)",
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
