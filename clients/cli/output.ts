import { randomUUID } from "node:crypto";
import { stripVTControlCharacters } from "node:util";
import picocolors from "picocolors";
import type { CliConfig } from "./config.ts";
import type { CliError } from "./errors.ts";

/**
 * Characters that control a terminal or change how a line is read: control characters except line ends and tabs,
 * characters that change the direction of writing, and line ends that only some programs know.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const STYLES = ["dim", "red", "green", "yellow", "cyan"] as const;

/** Colours for one stream. */
export type Colors = Readonly<Record<(typeof STYLES)[number], (text: string) => string>>;

/** Stands for the escape of our own colours until the text is written. It is secret, so that no text can colour itself. */
const ESCAPE = `\uE000${randomUUID()}\uE000`;

/**
 * Where a command writes: its answer on stdout, everything about it on stderr. Everything that is written passes
 * through here, and only our own colours steer a terminal.
 */
export class Output {
  /** Machine-readable: one JSON document, or one a line for a stream. */
  readonly json: boolean;
  /** Colours for stdout. */
  readonly color: Colors;
  /** Colours for stderr. */
  readonly noteColor: Colors;
  /** A human sees stdout as it grows. */
  readonly live: boolean;
  /** Lines at the end of stdout that the next {@link replace} replaces. */
  #replaceable = 0;

  constructor(json: boolean, colors: CliConfig["colors"]) {
    this.json = json;
    this.color = createPaint(colors.stdout && !json);
    this.noteColor = createPaint(colors.stderr && !json);
    this.live = process.stdout.isTTY === true && !json;
  }

  write(text: string): void {
    process.stdout.write(painted(text));
  }

  /** A line on stdout. */
  line(text = ""): void {
    this.write(`${text}\n`);
  }

  /**
   * Lines on a terminal in place of those that the last call wrote. What is wider or higher than the terminal is cut, as its lines could not be
   * replaced.
   */
  replace(lines: readonly string[]): void {
    const { columns = 80, rows = 24 } = process.stdout;
    const room = Math.max(1, rows - 2);
    const shown = lines.length > room ? [...lines.slice(0, room), `… ${lines.length - room} more`] : lines;
    const up = this.#replaceable === 0 ? "" : `${ESCAPE}[${this.#replaceable}A`;
    this.write(`${up}${shown.map((line) => `${cut(line, columns)}${ESCAPE}[K\n`).join("")}${ESCAPE}[J`);
    this.#replaceable = shown.length;
  }

  /** The command's whole answer: with `--json` the document, else the text. */
  answer(document: unknown, text: string): void {
    if (this.json) this.document(document);
    else this.line(text);
  }

  /** A line about the work, on stderr; not with `--json`. */
  note(text: string): void {
    if (!this.json) this.#tell(this.noteColor.dim(text));
  }

  /** A warning on stderr; not with `--json`. */
  warn(text: string): void {
    if (!this.json) this.#tell(this.noteColor.yellow(text));
  }

  /** A JSON document: on one line if it is one of a stream, else indented. */
  document(value: unknown, inStream = false): void {
    this.line(cleanJson(JSON.stringify(value, undefined, inStream ? undefined : 2)));
  }

  /** The error that ends the command: one line, or one JSON document, on stderr. */
  error(error: CliError): void {
    const { exitCode, reason, message } = error;
    const document = (): string => cleanJson(JSON.stringify({ error: { exitCode, reason, message } }));
    this.#tell(this.json ? document() : `${this.noteColor.red("leaf:")} ${message}`);
  }

  #tell(text: string): void {
    process.stderr.write(`${painted(text)}\n`);
  }
}

/** Painters of text; if colours are off, they only clean it. */
export function createPaint(enabled: boolean): Colors {
  const colors = picocolors.createColors(enabled);
  const painter = (style: (typeof STYLES)[number]) => (text: string) => colors[style](clean(text)).replaceAll("\u001b", ESCAPE);
  return { dim: painter("dim"), red: painter("red"), green: painter("green"), yellow: painter("yellow"), cyan: painter("cyan") };
}

/** The text as it is written: clean, with our own colours. */
export function painted(text: string): string {
  return clean(text).replaceAll(ESCAPE, "\u001b");
}

/** How many characters of a text can be seen. */
export function seenLength(text: string): number {
  return stripVTControlCharacters(painted(text)).length;
}

/** A line's first `columns` characters that can be seen, with the colours up to its end. */
function cut(line: string, columns: number): string {
  let seen = 0;
  const pieces = clean(line).split(new RegExp(`(${ESCAPE}\\[\\d+m)`));
  return pieces
    .map((piece) => {
      if (piece.startsWith(ESCAPE)) return piece;
      const shown = piece.slice(0, columns - seen);
      seen += shown.length;
      return shown;
    })
    .join("");
}

/** Text of a caller, a model or a command as it may be shown: whatever steers is made visible, as ␛ or \\u009b. */
export function clean(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(STEERING, visible);
}

/** As {@link clean}, for a text that must stay one line. */
export function cleanLine(text: string): string {
  return clean(text).replaceAll("\n", "␊");
}

/** JSON that means the same and steers nothing. JSON itself escapes only the first 32 characters. */
export function cleanJson(text: string): string {
  return text.replace(STEERING, escaped);
}

function visible(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "␡" : escaped(character);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
