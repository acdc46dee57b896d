import { createHash } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { PtyLauncher, PtySpec } from "./pty.ts";
import { Terminal } from "./terminal.ts";

/** A workspace as far as a terminal needs it. */
export interface TerminalWorkspace {
  readonly name: string;
  readonly path: string;
}

/** What starts terminals in a workspace. */
export type LauncherOf = (workspace: TerminalWorkspace) => PtyLauncher;

/** Bounds of {@link Terminals}. */
export interface TerminalLimits {
  /** Terminals in a workspace whose program runs. */
  readonly perWorkspace: number;
  /** Ended ones that are still remembered, in all. */
  readonly ended: number;
}

/** The terminals of a sandbox, by workspace and id. */
export class Terminals {
  readonly #launcherOf: LauncherOf;
  readonly #limits: TerminalLimits;
  readonly #terminals = new Map<string, { terminal: Terminal; fingerprint: string }>();

  constructor(launcherOf: LauncherOf, limits: TerminalLimits) {
    this.#launcherOf = launcherOf;
    this.#limits = limits;
  }

  /**
   * Open a terminal, or find the one of this id. ALREADY_EXISTS `id_reused` if it was opened for something else,
   * RESOURCE_EXHAUSTED `limit_reached`.
   */
  open(owner: TerminalWorkspace, id: string, spec: PtySpec): { terminal: Terminal; existed: boolean } {
    const workspace = owner.name;
    const fingerprint = createHash("sha256").update(JSON.stringify(spec)).digest("hex");
    const known = this.#terminals.get(keyOf(workspace, id));
    if (known !== undefined) {
      if (known.fingerprint === fingerprint) return { terminal: known.terminal, existed: true };
      throw new HarnessError(Code.AlreadyExists, "id_reused", `terminal ${id} was opened with another request: choose another id`);
    }
    const open = this.list(workspace).filter((terminal) => terminal.end === undefined).length;
    if (open >= this.#limits.perWorkspace) {
      throw new HarnessError(Code.ResourceExhausted, "limit_reached", `${open} terminals are open in ${workspace}: close one first`, {
        metadata: { limit: "terminals_per_workspace", value: String(this.#limits.perWorkspace) },
      });
    }
    const terminal = new Terminal(id, workspace, spec, this.#launcherOf(owner));
    this.#terminals.set(keyOf(workspace, id), { terminal, fingerprint });
    this.#forgetOldest();
    return { terminal, existed: false };
  }

  /** A terminal. NOT_FOUND `unknown_terminal`. */
  find(workspace: string, id: string): Terminal {
    const known = this.#terminals.get(keyOf(workspace, id));
    if (known !== undefined) return known.terminal;
    throw new HarnessError(Code.NotFound, "unknown_terminal", `there is no terminal ${id} in ${workspace}: open it first`);
  }

  /** A workspace's terminals, newest first. */
  list(workspace: string): Terminal[] {
    const all = [...this.#terminals.values()].map(({ terminal }) => terminal);
    return all.filter((terminal) => terminal.workspace === workspace).reverse();
  }

  /** How many have a program that runs, in all workspaces. */
  get openCount(): number {
    return [...this.#terminals.values()].filter(({ terminal }) => terminal.end === undefined).length;
  }

  /** End a terminal and forget it. A no-op if there is none. */
  async close(workspace: string, id: string): Promise<void> {
    const known = this.#terminals.get(keyOf(workspace, id));
    if (known === undefined) return;
    await known.terminal.close();
    if (this.#terminals.get(keyOf(workspace, id)) === known) this.#terminals.delete(keyOf(workspace, id));
  }

  /** End every terminal of a workspace, or of the sandbox. */
  async closeAll(workspace?: string): Promise<void> {
    const all = [...this.#terminals.values()].map(({ terminal }) => terminal);
    const going = all.filter((terminal) => workspace === undefined || terminal.workspace === workspace);
    await Promise.all(going.map((terminal) => this.close(terminal.workspace, terminal.id)));
  }

  #forgetOldest(): void {
    // One that left something running in the background has to be found when its workspace ends.
    const ended = [...this.#terminals].filter(([, { terminal }]) => terminal.isGone && terminal.watchers === 0);
    for (const [key] of ended.slice(0, Math.max(0, ended.length - this.#limits.ended))) this.#terminals.delete(key);
  }
}

/** No workspace and no id holds a NUL. */
function keyOf(workspace: string, id: string): string {
  return `${workspace}\0${id}`;
}
