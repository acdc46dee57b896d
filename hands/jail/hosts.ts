import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The jail's own name. */
export const HOST_NAME = "sandbox";

const MACHINES = "/etc/hosts";

/** Write the jail's /etc/hosts into this directory: the machine's, and before it the jail's own name, which programs look up. Returns its path. */
export function writeHosts(directory: string): string {
  const path = join(directory, "hosts");
  const machines = existsSync(MACHINES) ? readFileSync(MACHINES, "utf8") : "127.0.0.1 localhost\n::1 localhost\n";
  writeFileSync(path, `127.0.1.1 ${HOST_NAME}\n${machines}`);
  return path;
}
