import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** What is kept between runs, for all checkouts of a user: `$XDG_CACHE_HOME/leaf` (default: `~/.cache/leaf`). Throws if that variable is no absolute path. */
export function cacheDirectory(environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const base = environment["XDG_CACHE_HOME"] || join(environment["HOME"] || homedir(), ".cache");
  if (!isAbsolute(base)) throw new Error(`XDG_CACHE_HOME is ${base}: it must be an absolute path`);
  return join(base, "leaf");
}
