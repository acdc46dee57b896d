import { type Command, InvalidArgumentError } from "commander";
import { addCommand, addGroup } from "../command.ts";
import type { CommonOptions } from "../context.ts";
import { wholeNumber } from "../parse.ts";

/** Options of `leaf token create`. */
export interface TokenCreateOptions extends CommonOptions {
  readonly tenant?: string;
  readonly scope: readonly string[];
  /** Seconds. */
  readonly life?: number;
}

/** Options of `leaf token list`. */
export interface TokenListOptions extends CommonOptions {
  readonly tenant?: string;
  readonly limit: number;
  readonly page?: string;
}

/** Options of `leaf token rotate`. */
export interface TokenRotateOptions extends CommonOptions {
  /** Seconds. */
  readonly overlap?: number;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `leaf token`: who may call the dispatcher. */
export function addToken(program: Command): void {
  const group = addGroup(
    program,
    "token",
    "make, list and revoke tokens for callers",
    "A token says who calls, for which tenant, and what it may do. Making one needs the operator's token, or one with the scope admin.",
  );
  addCommand<TokenCreateOptions>(group, {
    name: "token create",
    usage: "<subject>",
    summary: "make a token, and print it once",
    description:
      "The subject is who will use it: it stands in events as who decided or cancelled. Scopes: leaves:submit, leaves:read, leaves:cancel, gates:decide, schedules:read, schedules:write, schedules:*, sandboxes:serve (to dial in as the sandbox that the subject names), admin.",
    options: (command) =>
      command
        .option("--tenant <name>", "whose leaves it is for (default: your token's tenant; the operator's is default)")
        .option("--scope <scope>", "what it is for, at least one; may be repeated", repeated, [])
        .option("--life <time>", "how long it is valid, as 90d, 12h, 30m or 45s (default: 90d)", life),
    run: async (...given) => (await import("../actions/token.ts")).runCreate(...given),
  });
  addCommand<TokenListOptions>(group, {
    name: "token list",
    summary: "list tokens that are not expired; the tokens themselves are never kept",
    options: (command) =>
      command
        .option("--tenant <name>", "only this tenant's")
        .option("--limit <n>", "at most this many", wholeNumber(1, 1000), 50)
        .option("--page <token>", "the page behind an earlier one"),
    run: async (...given) => (await import("../actions/token.ts")).runList(...given),
  });
  addCommand<TokenRotateOptions>(group, {
    name: "token rotate",
    summary: "sign tokens with a new key, in the state directory",
    description:
      "The dispatcher takes the new key up within a second. Tokens of the older keys hold until the overlap is over, then those keys retire.",
    options: (command) => command.option("--overlap <time>", "how long older keys go on, as 90d, 12h, 30m or 45s (default: 90d)", life),
    run: async (context, _args, options) => (await import("../actions/token.ts")).runRotate(context, options),
  });
  addCommand<CommonOptions>(group, {
    name: "token revoke",
    usage: "<token_id>",
    summary: "make a token worthless, everywhere within two seconds",
    run: async (context, args) => (await import("../actions/token.ts")).runRevoke(context, args),
  });
}

function repeated(text: string, sofar: readonly string[]): string[] {
  return [...sofar, text];
}

/** A time as `90d`, in seconds. */
function life(text: string): number {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (SECONDS[unit] ?? 0);
  if (seconds > 0) return seconds;
  throw new InvalidArgumentError("It must be a number and a unit, as 90d, 12h, 30m or 45s.");
}
