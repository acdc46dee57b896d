import picocolors from "picocolors";
import type { CliConfig } from "./config.ts";
import type { CliError } from "./errors.ts";

type Colors = ReturnType<typeof picocolors.createColors>;

/** Where a command writes: what was asked for on stdout, everything about it on stderr. */
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
    this.color = picocolors.createColors(colors.stdout && !json);
    this.noteColor = picocolors.createColors(colors.stderr && !json);
    this.live = process.stdout.isTTY === true && !json;
  }

  /** Text as it is, on stdout. */
  write(text: string): void {
    process.stdout.write(text);
  }

  /** A line on stdout. */
  line(text = ""): void {
    this.write(`${text}\n`);
  }

  /** A line about the work, on stderr; not with `--json`. */
  note(text: string): void {
    if (!this.json) process.stderr.write(`${this.noteColor.dim(text)}\n`);
  }

  /** A line on stderr that must be read, as a warning; not with `--json`. */
  warn(text: string): void {
    if (!this.json) process.stderr.write(`${this.noteColor.yellow(text)}\n`);
  }

  /** A JSON document: on one line, where it is one of a stream, or indented. */
  document(value: unknown, inStream = false): void {
    this.line(JSON.stringify(value, undefined, inStream ? undefined : 2));
  }

  /** The error that ends the command: one line, or one JSON document, on stderr. */
  error(error: CliError): void {
    const { exitCode, reason, message } = error;
    const text = this.json ? JSON.stringify({ error: { exitCode, reason, message } }) : `${this.noteColor.red("leaf:")} ${message}`;
    process.stderr.write(`${text}\n`);
  }
}
