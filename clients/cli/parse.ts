import { buffer as readAll } from "node:stream/consumers";
import type { LeafState } from "@serverless-harness/proto/leaf";
import { InvalidArgumentError } from "commander";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

/** A reader of an option's value: a whole number between two bounds, both allowed. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

/** Reads an option that may be repeated, each time `key=value`. */
export function labels(text: string, sofar: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It must be key=value.");
  return { ...sofar, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Reads an option that may be repeated, each time a tool's name; `*` is every tool. */
export function tools(text: string, sofar: readonly string[] = []): string[] {
  if (!/^(\*|[\w-]{1,64})$/.test(text)) throw new InvalidArgumentError("It must be a tool's name, as bash, or * for every tool.");
  return [...sofar, text];
}

/** States as the CLI writes them. */
export const STATE_NAMES = [
  "queued",
  "running",
  "suspended",
  "awaiting_approval",
  "retrying",
  "done",
  "failed",
  "cancelled",
  "aborted",
] as const satisfies ReadonlyArray<Lowercase<keyof typeof LeafState>>;
export type StateName = (typeof STATE_NAMES)[number];

/** Reads an option that may be repeated, each time a state's name. */
export function states(text: string, sofar: readonly StateName[] = []): StateName[] {
  const state = STATE_NAMES.find((name) => name === text.toLowerCase());
  if (state === undefined) throw new InvalidArgumentError(`It must be one of ${STATE_NAMES.join(", ")}.`);
  return [...sofar, state];
}

/** Refused where it is missing: what to say for each thing that is read. */
const BLANK = {
  prompt: 'say what the agent shall do, as `leaf turn "Run: uname"`',
  message: "say something to the leaf",
} as const;

/** The prompt or message itself, or standard input for `-`. Throws where there is nothing but white space. */
export async function readText(what: keyof typeof BLANK, argument: string): Promise<string> {
  const prompt = argument === "-" ? decoded(what, await readAll(process.stdin)) : argument;
  if (prompt.trim() !== "") return prompt;
  const where = argument === "-" ? "standard input was empty" : `the ${what} is empty`;
  throw new CliError(ExitCode.usage, `${what}_required`, `${where}: ${BLANK[what]}`);
}

/** Bytes as they were meant: what is no UTF-8 would come to the model as something else. */
function decoded(what: keyof typeof BLANK, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CliError(
      ExitCode.usage,
      `${what}_not_text`,
      `the ${what} on standard input is no UTF-8 text: convert it first, as with iconv`,
    );
  }
}
