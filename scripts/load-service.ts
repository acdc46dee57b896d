import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Loads what a service's main file loads only once its settings are read, so that Node's compile cache holds all of it. For
 * scripts/setup.sh, as `node --import`.
 */
const main = process.argv[1] ?? "";
const BEHIND_SETTINGS = ["hands/daemon.ts", "dispatcher/dispatcher.ts", "brain/brain.ts"];
for (const file of BEHIND_SETTINGS) {
  if (dirname(main).endsWith(dirname(file))) await import(pathToFileURL(join(dirname(main), file.split("/")[1] ?? "")).href);
}
