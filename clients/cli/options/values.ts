import { buffer as readAll } from "node:stream/consumers";
import { type Command, InvalidArgumentError } from "commander";
import type { CommonOptions } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";

/** Options of a list that comes in pages. */
export interface PageOptions extends CommonOptions {
  readonly limit: number;
  readonly page?: string;
}

/** Add {@link PageOptions} to a command: at most `most` on a page, `usual` by default. */
export function addPageOptions(command: Command, most: number, usual: number): Command {
  return command
    .option("--limit <n>", "at most this many", wholeNumber(1, most), usual)
    .option("--page <token>", "the page after an earlier one");
}

/** Reads a whole number between two bounds, both allowed. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Reads one of these names, as the value that it stands for. */
export function choice<T>(values: Readonly<Record<string, T>>): (text: string) => T {
  return (text) => {
    const found = Object.entries(values).find(([name]) => name === text);
    if (found === undefined) throw new InvalidArgumentError(`It must be one of ${Object.keys(values).join(", ")}.`);
    return found[1];
  };
}

/** Reads any text; may be repeated. */
export function repeated(text: string, sofar: readonly string[] = []): string[] {
  return [...sofar, text];
}

/** Reads `key=value`; may be repeated. */
export function labels(text: string, sofar: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It must be key=value.");
  return { ...sofar, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Reads a tool's name, `*` for every tool; may be repeated. */
export function tools(text: string, sofar: readonly string[] = []): string[] {
  if (!/^(\*|[\w-]{1,64})$/.test(text)) throw new InvalidArgumentError("It must be a tool's name, as bash, or * for every tool.");
  return [...sofar, text];
}

/** These fields without those that the user did not say. */
export function said<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as ReturnType<typeof said<T>>;
}

/** Seconds as the API's milliseconds. */
export function milliseconds(seconds: number | undefined): bigint | undefined {
  return seconds === undefined ? undefined : BigInt(seconds) * 1000n;
}

/** What to do about a blank text, by what it was to be. */
const BLANK = {
  prompt: 'say what the agent is to do, as `leaf turn "Run: uname"`',
  message: "say something to the leaf",
} as const;

/** The prompt or message itself, or standard input for `-`. Throws if there is nothing but white space. */
export async function readText(what: keyof typeof BLANK, argument: string): Promise<string> {
  const text = argument === "-" ? decoded(what, await readAll(process.stdin)) : argument;
  if (text.trim() !== "") return text;
  const problem = argument === "-" ? "standard input was empty" : `the ${what} is empty`;
  throw new CliError(ExitCode.usage, `${what}_required`, `${problem}: ${BLANK[what]}`);
}

/** Bytes as they were meant: any that are not UTF-8 would reach the model as something else. */
function decoded(what: keyof typeof BLANK, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const message = `the ${what} on standard input is no UTF-8 text: convert it first, as with iconv`;
    throw new CliError(ExitCode.usage, `${what}_not_text`, message);
  }
}
