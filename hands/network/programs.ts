import { fileURLToPath } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import { findProgram, isExecutable } from "../process/programs.ts";
import type { NetworkPrograms } from "./network.ts";

/** The programs that networks are made with. A {@link ConfigError} that says how to get them where one is missing. */
export function networkPrograms(): NetworkPrograms {
  const network = fileURLToPath(new URL("./build/network", import.meta.url));
  if (!isExecutable(network))
    throw new ConfigError(`${network} is missing: build it with \`sh hands/network/build.sh\` (npm run setup does so)`);
  return { network, slirp4netns: find("slirp4netns", "slirp4netns"), nft: find("nft", "nftables") };
}

function find(name: string, debianPackage: string): string {
  const found = findProgram(name);
  if (found !== undefined) return found;
  throw new ConfigError(
    `${name} is not installed: install it (Debian: apt-get install ${debianPackage}), or choose HANDS_NETWORK=none (commands reach nothing) ` +
      "or HANDS_NETWORK=host (all that this machine reaches)",
  );
}
