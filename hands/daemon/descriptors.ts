import { closeSync, readdirSync, readFileSync } from "node:fs";

const STANDARD = 2;
/** O_CLOEXEC on Linux. */
const CLOSE_ON_EXEC = 0o2000000;

/**
 * Close what whoever started the daemon left open: every command would inherit it. Node's own descriptors are all closed on exec, and
 * so stay.
 */
export function closeInheritedDescriptors(): void {
  for (const name of readdirSync("/proc/self/fd")) {
    const descriptor = Number(name);
    if (descriptor <= STANDARD) continue;
    try {
      const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, "utf8"))?.[1];
      if (flags !== undefined && (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0) closeSync(descriptor);
    } catch {
      // The directory's own descriptor is gone by now.
    }
  }
}
