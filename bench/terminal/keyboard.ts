import type { TerminalHandle, WorkspaceClient } from "@serverless-harness/hands/client";

/** A program that takes every byte as it is typed; the kernel echoes them. The baseline runs the same. */
export const ECHOING = ["/bin/bash", "-c", "stty -icanon; echo ready; exec cat >/dev/null"] as const;

/** Types into a terminal of the sandbox, over its stream, and sees what is echoed. */
export class Keyboard {
  readonly #handle: TerminalHandle;
  #shown = "";
  #look: () => void = () => undefined;

  private constructor(workspace: WorkspaceClient, terminalId: string) {
    this.#handle = workspace.attachTerminal(terminalId, (update) => {
      if (update.kind !== "output") return;
      this.#shown += Buffer.from(update.data).toString("latin1");
      this.#look();
    });
  }

  /** Open a terminal with a program that echoes. */
  static async open(workspace: WorkspaceClient, terminalId: string): Promise<Keyboard> {
    await workspace.openTerminal({ terminalId, argv: ECHOING });
    const keyboard = new Keyboard(workspace, terminalId);
    await keyboard.#until("ready\r\n");
    return keyboard;
  }

  /** Press one key; resolves when its echo is here. Throws where something else is shown. */
  async press(key: string): Promise<void> {
    this.#handle.write(Buffer.from(key));
    await this.#until(key);
  }

  close(): void {
    this.#handle.detach();
  }

  async #until(expected: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#look = () => {
      if (this.#shown === expected) resolve();
      else if (!expected.startsWith(this.#shown)) reject(new Error(`the terminal showed ${JSON.stringify(this.#shown)}`));
    };
    this.#look();
    this.#handle.ended.then(() => reject(new Error("the terminal's program ended")), reject);
    await promise;
    this.#shown = "";
  }
}
