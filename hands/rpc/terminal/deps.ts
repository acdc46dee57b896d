import type { Terminals } from "../../terminals/terminals.ts";
import type { Workspaces } from "../../workspaces/workspaces.ts";

/** What the terminal RPCs need. */
export interface TerminalDeps {
  readonly workspaces: Workspaces;
  readonly terminals: Terminals;
  /** The environment that programs in a workspace start with. */
  readonly environment: (workspace: { readonly name: string; readonly path: string }) => Readonly<Record<string, string>>;
}
