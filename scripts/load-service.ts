import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Loads what a service's main file loads only once it has something to do, so that Node's compile cache holds all of it. For
 * scripts/setup.sh, as `node --import`.
 */
const main = process.argv[1] ?? "";
const LATER: Readonly<Record<string, readonly string[]>> = {
  hands: ["daemon/daemon.ts"],
  dispatcher: ["dispatcher.ts"],
  brain: ["brain.ts", "routes.ts", "../pi-fork/preload.ts"],
};
for (const file of LATER[basename(dirname(main))] ?? []) await import(pathToFileURL(join(dirname(main), file)).href);
