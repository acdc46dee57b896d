import { statSync } from "node:fs";

/** Changes whenever the file does, also if it is a link to another one, as Kubernetes has it. */
export function versionOf(path: string): string {
  const file = statSync(path, { throwIfNoEntry: false });
  return file === undefined ? "" : `${file.dev}:${file.ino}:${file.size}:${file.mtimeMs}:${file.ctimeMs}`;
}
