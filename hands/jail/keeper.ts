import { fileURLToPath } from "node:url";
import type { KeeperFiles } from "../keeper/launcher.ts";
import type { ProcessBound } from "./processes.ts";

/** The keeper in the jail for commands. `narrowing`: arguments of bwrap that leave a workspace alone. */
export function jailedKeeper(files: KeeperFiles, { pids, nproc }: ProcessBound, narrowing: readonly string[]): KeeperFiles {
  const script = fileURLToPath(new URL("./keeper.sh", import.meta.url));
  return { ...files, keeper: script, arguments: [String(pids), String(nproc), ...narrowing] };
}
