import { createHash } from "node:crypto";
import type { TerminalHandle, WorkspaceClient } from "@serverless-harness/hands/client";
import type { Finding } from "../claims.ts";
import { SandboxVisitor } from "../sandbox.ts";
import type { World } from "../world.ts";

const WORKSPACE = "default/demo-terminal";
const TERMINAL = "shared";
const PATIENCE_MS = 10_000;

/** One terminal, two who watch it from connections of their own; the second comes late, and both type. */
export async function sharedTerminal(world: World): Promise<Finding> {
  const [first, second] = [new SandboxVisitor(world.paths, WORKSPACE), new SandboxVisitor(world.paths, WORKSPACE)];
  try {
    await first.workspace.create();
    await first.workspace.openTerminal({ terminalId: TERMINAL });
    const early = new Watcher(first.workspace);
    early.type("echo from the $((1))st\n");
    await early.sees("from the 1st");
    const late = new Watcher(second.workspace);
    await late.sees("from the 1st");
    const replayed_bytes = late.replayedBytes;
    late.type("echo from the $((2))nd; exit\n");
    const [a, b] = await Promise.all([early.end(), late.end()]);
    const { lines } = await first.workspace.terminalScreen(TERMINAL);
    const outputs = lines.filter((line) => /^from the \d/.test(line));
    const same = a.equals(b);
    await first.workspace.delete();
    return {
      holds: same && replayed_bytes > 0 && a.includes("from the 2nd") && outputs.join() === "from the 1st,from the 2nd",
      seen:
        `the second came ${replayed_bytes} bytes late and typed what the first saw; ${a.length} and ${b.length} bytes, sha256 ${digest(a)} and ${digest(b)}: ` +
        `${same ? "the same" : "not the same"}; the window shows ${outputs.map((line) => JSON.stringify(line)).join(" and ")}`,
      measured: { bytes_first: a.length, bytes_second: b.length, replayed_bytes, outputs: outputs.length },
    };
  } finally {
    first.close();
    second.close();
  }
}

/** Somebody at the terminal, and every byte of it that reached them. */
class Watcher {
  replayedBytes = 0;
  readonly #handle: TerminalHandle;
  readonly #pieces: Uint8Array[] = [];
  #look: () => void = () => undefined;

  constructor(workspace: WorkspaceClient) {
    this.#handle = workspace.attachTerminal(TERMINAL, (update) => {
      if (update.kind === "attached") this.replayedBytes = Number(update.terminal.totalBytes);
      if (update.kind === "gap") throw new Error(`bytes ${update.from} to ${update.to} of the terminal are missing`);
      if (update.kind === "output") this.#pieces.push(update.data);
      this.#look();
    });
  }

  type(text: string): void {
    this.#handle.write(Buffer.from(text));
  }

  /** Resolves when the text has been shown. */
  async sees(text: string): Promise<void> {
    const shown = new Promise<void>((resolve) => {
      this.#look = () => this.#bytes().includes(text) && resolve();
      this.#look();
    });
    await inTime(shown, `the terminal to show ${JSON.stringify(text)}`);
  }

  /** Everything that was shown, when the program has ended. */
  async end(): Promise<Buffer> {
    await inTime(this.#handle.ended, "the terminal's program to end");
    return this.#bytes();
  }

  #bytes(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}

async function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`waited ${PATIENCE_MS / 1000} s in vain: ${what}`)), PATIENCE_MS);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function digest(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex").slice(0, 12);
}
