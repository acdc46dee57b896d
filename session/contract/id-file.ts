import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { ConfigError } from "@serverless-harness/kit/env";

/** The id in a file that remembers which store was there, so that one that is gone is missed; `undefined` if there is no such file. */
export function readIdFile(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || (error as NodeJS.ErrnoException).code === "ENOTDIR") return undefined;
    throw new ConfigError(`${file} can't be read (${(error as NodeJS.ErrnoException).code}): give this user the right to read it`);
  }
}

/** Remember a store's id. The file appears whole, and is to be written when the store is on the disk. */
export function writeIdFile(file: string, id: string): void {
  const draft = `${file}.${process.pid}.new`;
  try {
    writeFileSync(draft, `${id}\n`, { mode: 0o644 });
    renameSync(draft, file);
  } catch (error) {
    throw new ConfigError(
      `${file} can't be written (${(error as NodeJS.ErrnoException).code}): this user must be able to write in its directory`,
    );
  }
}

/** The error for a store that is another one than its file tells of. `what` happened to it. */
export function unknownStore(store: string, what: string, file: string): ConfigError {
  return new ConfigError(
    `the leaf store ${store} ${what}: ${file} tells of the one that was there. Put that back, or remove ${file} as well to begin ` +
      "with what is there now, without the leaves and sessions that it held",
  );
}
