import xterm from "@xterm/headless";

/** What a terminal's window shows. */
export interface ScreenView {
  /** Scrollback first, then the window; without trailing white space. */
  readonly lines: string[];
  readonly scrollbackLines: number;
  readonly cursorRow: number;
  readonly cursorColumn: number;
  readonly alternateScreen: boolean;
  /** Arrow keys are wanted in their application form. */
  readonly applicationCursorKeys: boolean;
}

/** Lines that scroll out of the window and can still be asked for. */
const SCROLLBACK_LINES = 1000;

/** Interprets a terminal's output as a terminal emulator would. It costs some memory, so it exists only once it was asked for. */
export class Screen {
  readonly #terminal: xterm.Terminal;

  constructor(columns: number, rows: number) {
    this.#terminal = new xterm.Terminal({ cols: columns, rows, scrollback: SCROLLBACK_LINES, allowProposedApi: true });
  }

  write(data: Uint8Array): void {
    this.#terminal.write(data);
  }

  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
  }

  /** The window now, after everything that was written before this call. */
  async view(scrollbackLines: number): Promise<ScreenView> {
    // The emulator works in slices; it calls back when it has come this far.
    await new Promise<void>((resolve) => this.#terminal.write("", resolve));
    const buffer = this.#terminal.buffer.active;
    const above = Math.min(scrollbackLines, buffer.baseY);
    const lines: string[] = [];
    for (let y = buffer.baseY - above; y < buffer.baseY + this.#terminal.rows; y++)
      lines.push(buffer.getLine(y)?.translateToString(true).trimEnd() ?? "");
    return {
      lines,
      scrollbackLines: above,
      cursorRow: buffer.cursorY,
      cursorColumn: buffer.cursorX,
      alternateScreen: buffer.type === "alternate",
      applicationCursorKeys: this.#terminal.modes.applicationCursorKeysMode,
    };
  }

  dispose(): void {
    this.#terminal.dispose();
  }
}
