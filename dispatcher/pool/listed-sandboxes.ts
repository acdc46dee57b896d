import { readFileSync } from "node:fs";
import { parseTarget } from "@serverless-harness/kit/address";
import { ConfigError } from "@serverless-harness/kit/env";
import type { Logger } from "@serverless-harness/kit/log";
import { Validation } from "@serverless-harness/kit/validate";
import { FollowedFile } from "../followed-file.ts";
import type { FoundSandbox, SandboxSource } from "./source.ts";

/** Sandboxes that one list may have. */
const MAX_SANDBOXES = 10_000;
const FIELDS: ReadonlySet<string> = new Set(["name", "address", "tenant"]);

/** Read a list of sandboxes, as `[{"name": "a", "address": "http://10.0.0.7:7434"}]`. Throws an error that says all that is wrong with it. */
export function parseSandboxes(text: string): FoundSandbox[] {
  const list = json(text);
  if (!Array.isArray(list)) throw new Error('it must be a JSON list, as [{"name": "a", "address": "http://10.0.0.7:7434"}]');
  const v = new Validation();
  v.check("the list", list.length <= MAX_SANDBOXES, `must have at most ${MAX_SANDBOXES} sandboxes`);
  const read = list.slice(0, MAX_SANDBOXES).map((entry: unknown, index) => sandbox(v, `[${index}]`, entry));
  for (const field of ["name", "address"] as const) {
    const seen = new Set<string>();
    for (const [index, { [field]: value }] of read.entries()) {
      v.check(`[${index}].${field}`, value === "" || !seen.has(value), "is another sandbox's too: each needs its own");
      seen.add(value);
    }
  }
  v.done();
  return read;
}

/** Sandboxes of a list that stays as it is. */
export function fixedSandboxes(sandboxes: readonly FoundSandbox[]): SandboxSource {
  return { found: () => sandboxes };
}

/** Sandboxes of an operator's file, which may change. Throws a ConfigError if it can't be used. */
export function sandboxesOfFile(path: string, log: Logger): SandboxSource {
  const file = new FollowedFile({ path, read: readSandboxesFile, of: "sandboxes", summary: ({ length }) => ({ sandboxes: length }), log });
  return { found: () => file.content, look: () => void file.look() };
}

/** Throws a ConfigError that lists what is wrong with the file. */
export function readSandboxesFile(path: string): FoundSandbox[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError(`DISPATCHER_SANDBOXES: ${path} can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
  try {
    return parseSandboxes(text);
  } catch (error) {
    throw new ConfigError(`DISPATCHER_SANDBOXES: ${path}: ${error instanceof Error ? error.message : error}`);
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sandbox(v: Validation, at: string, entry: unknown): FoundSandbox {
  const fields = typeof entry === "object" && entry !== null ? Object.entries(entry) : [];
  const known: Record<string, string> = {};
  for (const [field, value] of fields) {
    v.check(
      `${at}.${field.slice(0, 64)}`,
      FIELDS.has(field) && typeof value === "string",
      `must be one of ${[...FIELDS].join(", ")}, and a text`,
    );
    if (typeof value === "string") known[field] = value;
  }
  const { name = "", address = "", tenant = "" } = known;
  v.name(`${at}.name`, name);
  v.check(
    `${at}.address`,
    isAddress(address),
    "must be unix:/path, http://host:port or https://host:port, with a path if a relay hands calls on",
  );
  if (tenant !== "") v.name(`${at}.tenant`, tenant);
  return { name, address, tenant };
}

function isAddress(address: string): boolean {
  return address.length <= 1024 && /^(?:unix:|https?:)/.test(address) && parseTarget(address) !== undefined;
}
