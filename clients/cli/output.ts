import { cleanJson } from "./clean.ts";
import type { CliConfig } from "./config.ts";
import type { CliError } from "./errors.ts";
import { type Colors, createPaint, painted } from "./paint.ts";

/**
 * Where a command writes: what was asked for on stdout, everything about it on stderr. All that is written passes here, and nothing in it but our
 * own colours steers a terminal.
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

  constructor(json: boolean, colors: CliConfig["colors"]) {
    this.json = json;
    this.color = createPaint(colors.stdout && !json);
    this.noteColor = createPaint(colors.stderr && !json);
    this.live = process.stdout.isTTY === true && !json;
  }

  /** Text on stdout. */
  write(text: string): void {
    process.stdout.write(painted(text));
  }

  /** A line on stdout. */
  line(text = ""): void {
    this.write(`${text}\n`);
  }

  /** A line about the work, on stderr; not with `--json`. */
  note(text: string): void {
    if (!this.json) this.#tell(this.noteColor.dim(text));
  }

  /** A line on stderr that must be read, as a warning; not with `--json`. */
  warn(text: string): void {
    if (!this.json) this.#tell(this.noteColor.yellow(text));
  }

  /** A JSON document: on one line, where it is one of a stream, or indented. */
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
