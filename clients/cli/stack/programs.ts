import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/** What a service's bundle was made of. The dispatcher starts the brain that lies beside it. */
const SOURCES = {
  dispatcher: ["brain", "dispatcher", "kit", "pi-fork", "proto", "session", "hands/client"],
  hands: ["hands", "kit", "proto"],
} as const;

/**
 * A service's program below the checkout: its bundle, which starts in less than half the time, unless a source changed since (or there is none:
 * `npm run setup` makes it).
 */
export function programOf(root: string, service: keyof typeof SOURCES): string {
  const bundle = `dist/${service}/main.mjs`;
  const made = existsSync(join(root, bundle)) ? statSync(join(root, bundle)).mtimeMs : 0;
  const current = made > 0 && SOURCES[service].every((directory) => !hasNewer(join(root, directory), made));
  return current ? bundle : `${service}/main.ts`;
}

function hasNewer(directory: string, than: number): boolean {
  return readdirSync(directory, { withFileTypes: true }).some((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return entry.name !== "node_modules" && entry.name !== "test" && hasNewer(path, than);
    return statSync(path).mtimeMs > than;
  });
}
