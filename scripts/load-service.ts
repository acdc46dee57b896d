import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Loads what a service's main file loads only once it has something to do, so that Node's compile cache holds all of it. For
 * scripts/setup.sh, as `node --import`. Of a bundle those are the parts beside it, but for the model providers, of which a brain needs one.
 */
const main = process.argv[1] ?? "";
const service = basename(dirname(main));
const LATER: Readonly<Record<string, readonly string[]>> = {
  hands: partsBeginningWith("daemon-", "jail-"),
  dispatcher: partsBeginningWith("dispatcher-", "store-"),
  brain: partsBeginningWith("brain-", "routes-", "store-", "pi-fork-", "anthropic-"),
};

function partsBeginningWith(...beginnings: readonly string[]): string[] {
  return readdirSync(dirname(main)).filter((file) => file.endsWith(".mjs") && beginnings.some((beginning) => file.startsWith(beginning)));
}

for (const file of LATER[service] ?? []) await import(pathToFileURL(join(dirname(main), file)).href);
