import { join } from "node:path";

/** Where whole outputs are kept that no reader gets in full: below the workspaces, so commands and FileService both see them. */
export function spillDirectory(config: { readonly workspaces: string }): string {
  return join(config.workspaces, ".spill");
}
