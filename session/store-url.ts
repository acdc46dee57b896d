import { isAbsolute } from "node:path";
import { ConfigError } from "@serverless-harness/kit/env";

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;

/**
 * The file that `sqlite:/absolute/path` names. Throws a {@link ConfigError} for every other address; its message holds no more of the
 * address than the scheme or the path, since addresses of other stores carry passwords.
 */
export function sqlitePath(url: string): string {
  const scheme = SCHEME.exec(url)?.[1]?.toLowerCase();
  if (scheme === "redis" || scheme === "rediss") {
    throw new ConfigError("the leaf store's address is a redis one: this version serves sqlite:/absolute/path/leaf.db only");
  }
  if (scheme !== "sqlite") {
    const what = scheme === undefined ? "has no scheme" : `has the unknown scheme ${scheme}`;
    throw new ConfigError(`the leaf store's address ${what}: it must be sqlite:/absolute/path/leaf.db`);
  }
  const path = url.slice("sqlite:".length);
  if (!isAbsolute(path) || path.startsWith("//") || path.endsWith("/") || path.includes("\0")) {
    throw new ConfigError(
      `the leaf store's path ${JSON.stringify(path)} is no file's: it must be absolute, as sqlite:/var/lib/harness/leaf.db`,
    );
  }
  return path;
}
