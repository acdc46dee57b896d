import { constants } from "node:os";
import { type Address, parseAddress } from "./address.ts";

/** A setting that can't be used: every problem found, each naming its variable. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** A file's path and the variable that it was set by, which messages name. */
export interface NamedFile {
  readonly variable: string;
  /** `undefined` if the variable is unset. */
  readonly path: string | undefined;
}

/**
 * Reads a service's settings from the environment, collecting every problem, so that an operator sees all of them at once.
 * Only a service's `config.ts` uses it.
 */
export class EnvReader {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #problems: string[] = [];

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.#env = env;
  }

  /** A text, or `undefined` if the variable is unset or empty. */
  optional(name: string): string | undefined {
    const value = this.#env[name];
    return value === undefined || value === "" ? undefined : value;
  }

  /** The path of a file, with its variable. Nothing is read. */
  file(name: string): NamedFile {
    return { variable: name, path: this.optional(name) };
  }

  /** Where health and metrics are served without credentials: `host:port`, or `undefined` if the variable is unset. */
  probesAddress(name: string): Address | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    const address = parseAddress(text);
    if (address?.kind === "tcp" && address.tls !== true) return address;
    this.#problems.push(`${name} is ${JSON.stringify(text)}: it must be host:port`);
    return undefined;
  }

  /** A text with a default. */
  string(name: string, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  /** A text that has to be there; `hint` says what to set it to. */
  required(name: string, hint: string): string {
    const value = this.optional(name);
    if (value === undefined) this.#problems.push(`${name} is not set: ${hint}`);
    return value ?? "";
  }

  /** A whole number between two bounds, both allowed. */
  integer(name: string, fallback: number, min: number, max: number): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    this.#problems.push(`${name} is ${JSON.stringify(text)}: it must be a whole number from ${min} to ${max}`);
    return fallback;
  }

  /** A number from `min` to `max`, with decimals if need be. */
  number(name: string, fallback: number, min: number, max: number): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (value >= min && value <= max) return value;
    this.#problems.push(`${name} is ${JSON.stringify(text)}: it must be a number from ${min} to ${max}`);
    return fallback;
  }

  /** One of a few words. */
  choice<const T extends string>(name: string, fallback: T, choices: readonly T[]): T {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const found = choices.find((choice) => choice === text);
    if (found === undefined) this.#problems.push(`${name} is ${JSON.stringify(text)}: it must be one of ${choices.join(", ")}`);
    return found ?? fallback;
  }

  /** `1`, `true`, `yes` or `0`, `false`, `no`. */
  flag(name: string, fallback: boolean): boolean {
    const text = this.optional(name)?.toLowerCase();
    if (text === undefined) return fallback;
    if (["1", "true", "yes"].includes(text)) return true;
    if (["0", "false", "no"].includes(text)) return false;
    this.#problems.push(`${name} is ${JSON.stringify(text)}: it must be true or false`);
    return fallback;
  }

  /** Note a problem that only the service can see, as two settings that don't fit. */
  problem(message: string): void {
    this.#problems.push(message);
  }

  /** Return what was read, or throw a {@link ConfigError} that lists every problem. */
  done<T>(config: T): T {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems.join("\n"));
    return config;
  }
}

/** Exit codes of the services: 64 for a setting that can't be used (sysexits EX_USAGE), 1 for the rest, 128 + n for a signal. */
export function exitCodeOf(error: unknown): number {
  return error instanceof ConfigError ? 64 : 1;
}

/** Exit code of a process that a signal ended. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}
