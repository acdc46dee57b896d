import { isIP } from "node:net";
import { type Address, isLoopback } from "@serverless-harness/kit/address";
import type { EnvReader } from "@serverless-harness/kit/env";

/** Which requests get in at all, by what browsers say of them. */
export interface DoorRules {
  /** Names by which we may be called, in lower case and without a port, besides our own. None: any, but on what this machine alone can reach. */
  readonly hosts: readonly string[];
  /** Origins of pages that may call us from a browser. */
  readonly origins: ReadonlySet<string>;
  /** Settings that a refusal names. */
  readonly settings: DoorSettings;
}

/** The variables that hold the rules. */
export interface DoorSettings {
  readonly hosts: string;
  readonly origins: string;
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const NAME = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*$/;

/** Read the rules. */
export function readDoorRules(reader: EnvReader, settings: DoorSettings): DoorRules {
  const hosts: string[] = [];
  for (const word of wordsOf(reader, settings.hosts)) {
    const name = hostName(word.toLowerCase());
    if (name === undefined) reader.problem(`${settings.hosts}: ${JSON.stringify(word)} is no name or address of a host, without a port`);
    else hosts.push(name);
  }
  const origins = wordsOf(reader, settings.origins);
  for (const origin of origins)
    if (!isOrigin(origin))
      reader.problem(`${settings.origins}: ${JSON.stringify(origin)} is no origin of a page, as https://console.example:8443`);
  return { hosts, origins: new Set(origins), settings };
}

/**
 * The names by which what listens here may be called; `undefined`: by any. What this machine alone can reach is called by this machine's names, and by those that
 * are set: a page whose own name leads to 127.0.0.1 meanwhile gets nowhere.
 */
export function hostsAt(listen: Address, { hosts }: DoorRules): ReadonlySet<string> | undefined {
  if (listen.kind === "tcp" && isLoopback(listen)) return new Set([...LOOPBACK_NAMES, hostName(listen.host.toLowerCase()) ?? "", ...hosts]);
  return hosts.length === 0 ? undefined : new Set(hosts);
}

function wordsOf(reader: EnvReader, name: string): string[] {
  const text = reader.string(name, "");
  return text === "" ? [] : text.split(",").map((word) => word.trim());
}

/** As a Host header has it: an address of version 6 in brackets. */
function hostName(word: string): string | undefined {
  const bare = word.replace(/^\[(.*)\]$/, "$1");
  if (isIP(bare) === 6) return `[${bare}]`;
  return NAME.test(word) ? word : undefined;
}

function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
