import { join } from "node:path";

/**
 * Variables by which Node finds what scripts/setup.sh compiled the sources to: a service starts in half the time and with a quarter less memory.
 * Beside the sources, since a directory that others can write to could be prepared; portable, since a jail sees it under another path. `root`:
 * the project's directory.
 */
export function compiledSources(root: string): Record<string, string> {
  return { NODE_COMPILE_CACHE: join(root, "node_modules", ".cache", "leaf"), NODE_COMPILE_CACHE_PORTABLE: "1" };
}
