import type { ScreenResponse, Terminal, TerminalEnded } from "@serverless-harness/proto/hands";

/** A terminal to open; see `harness.hands.v1.OpenRequest` for units and defaults. */
export interface TerminalRequest {
  /** The same id with the same request finds the terminal that is there. */
  readonly terminalId: string;
  /** Program and arguments. Default: an interactive bash. */
  readonly argv?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly columns?: number;
  readonly rows?: number;
}

/** What happens on a terminal, in order, each byte once, across any number of broken connections. */
export type TerminalUpdate =
  | { readonly kind: "attached"; readonly terminal: Terminal }
  | { readonly kind: "output"; readonly offset: number; readonly data: Uint8Array }
  /** Output that is no longer kept, or that this watcher was too slow for. */
  | { readonly kind: "gap"; readonly from: number; readonly to: number }
  | { readonly kind: "resized"; readonly columns: number; readonly rows: number };

/** A terminal that this client watches. */
export interface TerminalHandle {
  readonly terminalId: string;
  /**
   * How its program ended, once every update was delivered. Rejects with a HarnessError: NOT_FOUND `unknown_terminal` if it was closed, or
   * lost with its daemon; UNAVAILABLE `sandbox_unavailable` if hands stayed unreachable for the client's patience; FAILED_PRECONDITION
   * `stale_epoch` if another owner types; CANCELLED `detached` after {@link detach}.
   */
  readonly ended: Promise<TerminalEnded>;
  /** Type. What was on its way when a connection broke is sent again, and typed once. */
  write(data: Uint8Array): void;
  /** Change the window's size, after what was typed before. */
  resize(columns: number, rows: number): void;
  /** Watch it no longer; the terminal goes on in the sandbox. */
  detach(): void;
}

/** The terminals of one workspace, for one owner. */
export interface TerminalsClient {
  /** Open a terminal, or find the one of this id. ALREADY_EXISTS `id_reused`, RESOURCE_EXHAUSTED `limit_reached`. */
  openTerminal(request: TerminalRequest): Promise<{ terminal: Terminal; existed: boolean }>;
  /** Watch a terminal from a byte of its output on, default 0: all that is kept. `onUpdate` must not throw. */
  attachTerminal(terminalId: string, onUpdate: (update: TerminalUpdate) => void, fromOffset?: number): TerminalHandle;
  /** Type without watching; the same `inputId` is typed once. Returns whether it was typed before. At most 64 KiB. */
  writeTerminal(terminalId: string, data: Uint8Array, options: { readonly inputId: string }): Promise<{ replayed: boolean }>;
  resizeTerminal(terminalId: string, columns: number, rows: number): Promise<void>;
  /** What the window shows, as text, with lines of scrollback above it (default 0). */
  terminalScreen(terminalId: string, options?: { readonly scrollbackLines?: number }): Promise<ScreenResponse>;
  /** Newest first. */
  listTerminals(): Promise<Terminal[]>;
  /** End its program with every descendant, and forget it. A no-op if there is none. */
  closeTerminal(terminalId: string): Promise<void>;
}
