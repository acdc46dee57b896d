import { text as readAll } from "node:stream/consumers";
import { LeafState } from "@serverless-harness/proto/leaf";
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

/** Names of states as the CLI writes them: `queued`, `awaiting_approval`. */
export const STATE_NAMES: readonly string[] = Object.keys(LeafState)
  .filter((name) => name !== "UNSPECIFIED" && Number.isNaN(Number(name)))
  .map((name) => name.toLowerCase());

/** A state's name as the CLI writes it. */
export function stateName(state: LeafState): string {
  return nameOf(LeafState, state);
}

/** The name of a value of an enum, in lower case; `unknown` for a number that this version doesn't know. */
export function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return (Object.keys(values).find((name) => values[name] === value) ?? "unknown").toLowerCase();
}

/** Reads an option that may be repeated, each time a state's name. */
export function states(text: string, sofar: readonly LeafState[] = []): LeafState[] {
  const value = Object.entries(LeafState).find(([name]) => name.toLowerCase() === text.toLowerCase())?.[1];
  if (!STATE_NAMES.includes(text.toLowerCase()) || typeof value !== "number") {
    throw new InvalidArgumentError(`It must be one of ${STATE_NAMES.join(", ")}.`);
  }
  return [...sofar, value];
}

/** The prompt itself, or standard input for `-`. Throws where there is nothing but white space. */
export async function readPrompt(argument: string): Promise<string> {
  const prompt = argument === "-" ? await readAll(process.stdin) : argument;
  if (prompt.trim() !== "") return prompt;
  const where = argument === "-" ? "standard input was empty" : "the prompt is empty";
  throw new CliError(ExitCode.usage, "prompt_required", `${where}: say what the agent shall do, as \`leaf turn "Run: uname"\``);
}
