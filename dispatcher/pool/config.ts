import { statSync } from "node:fs";
import { isAbsolute } from "node:path";
import { parseAddress } from "@serverless-harness/kit/address";
import type { EnvReader } from "@serverless-harness/kit/env";
import type { SandboxAccess } from "../sandbox/sandbox.ts";
import { type DnsName, parseDnsName } from "./dns-sandboxes.ts";
import { type KubernetesService, parseKubernetesService } from "./kubernetes-service.ts";
import { parseSandboxes, readSandboxesFile } from "./listed-sandboxes.ts";
import type { FoundSandbox } from "./source.ts";

/** What stands for an address of hands if there is a pool. */
export const POOL = "pool";

/** Where sandboxes are found, besides those that dial in. */
export type Whereabouts =
  | { readonly kind: "nowhere" }
  | { readonly kind: "list"; readonly sandboxes: readonly FoundSandbox[] }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "dns"; readonly name: DnsName }
  | { readonly kind: "kubernetes"; readonly service: KubernetesService };

/** The pool of sandboxes. */
export interface PoolConfig {
  readonly whereabouts: Whereabouts;
  /** How often each sandbox is asked who it is, in milliseconds. */
  readonly askMs: number;
  /** How long one counts as there after it has answered, in milliseconds. */
  readonly aliveMs: number;
  /** Sessions that may work in one at once, whatever it says; 0: as many as it says. */
  readonly capacity: number;
  /** Where brains reach this dispatcher, for sandboxes that dialled in. Absent: where it listens. */
  readonly ownUrl: string | undefined;
  readonly access: SandboxAccess;
}

/** Read the pool's settings; `undefined` if there is no pool. `access`: how each sandbox is got into. */
export function readPool(reader: EnvReader, access: SandboxAccess): PoolConfig | undefined {
  const [hands, sandboxes] = [reader.optional("HANDS_URL"), reader.optional("DISPATCHER_SANDBOXES")];
  if (hands !== POOL && hands !== undefined && sandboxes !== undefined)
    reader.problem("HANDS_URL names one sandbox, and DISPATCHER_SANDBOXES a pool of them: set HANDS_URL=pool, or leave one out");
  if (hands !== POOL && sandboxes === undefined) return undefined;
  const askMs = reader.integer("DISPATCHER_SANDBOX_ASK_MS", 1000, 100, 60_000);
  const aliveMs = reader.integer("DISPATCHER_SANDBOX_ALIVE_MS", 3000, 200, 600_000);
  if (aliveMs < 2 * askMs)
    reader.problem(`DISPATCHER_SANDBOX_ALIVE_MS is ${aliveMs}: it must be at least twice DISPATCHER_SANDBOX_ASK_MS, which is ${askMs}`);
  return {
    whereabouts: readWhereabouts(reader, sandboxes, access.tls !== undefined),
    askMs,
    aliveMs,
    capacity: reader.integer("DISPATCHER_SANDBOX_CAPACITY", 0, 0, 100_000),
    ownUrl: readOwnUrl(reader),
    access,
  };
}

function readWhereabouts(reader: EnvReader, text: string | undefined, tls: boolean): Whereabouts {
  if (text === undefined) return { kind: "nowhere" };
  try {
    if (text.trimStart().startsWith("[")) return { kind: "list", sandboxes: parseSandboxes(text) };
    const name = text.startsWith("dns:") ? parseDnsName(text.slice("dns:".length)) : undefined;
    if (name !== undefined) return { kind: "dns", name: { ...name, tls } };
    const service = text.startsWith("kubernetes:") ? parseKubernetesService(text.slice("kubernetes:".length)) : undefined;
    if (service !== undefined) return { kind: "kubernetes", service: { ...service, tls } };
    if (isAbsolute(text) && statSync(text, { throwIfNoEntry: false })?.isDirectory() !== true) {
      readSandboxesFile(text);
      return { kind: "file", path: text };
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    reader.problem(why.startsWith("DISPATCHER_SANDBOXES") ? why : `DISPATCHER_SANDBOXES: ${why}`);
    return { kind: "nowhere" };
  }
  reader.problem(
    `DISPATCHER_SANDBOXES is ${JSON.stringify(text.slice(0, 200))}: it must be a JSON list, the absolute path of a file with one, dns:host:port, dns:_service._tcp.host or kubernetes:namespace/service:port`,
  );
  return { kind: "nowhere" };
}

function readOwnUrl(reader: EnvReader): string | undefined {
  const text = reader.optional("DISPATCHER_OWN_URL");
  if (text === undefined) return undefined;
  const address = /^https?:/.test(text) ? parseAddress(text) : undefined;
  if (address === undefined)
    reader.problem(
      `DISPATCHER_OWN_URL is ${JSON.stringify(text)}: it must be http://host:port or https://host:port, as brains reach this dispatcher`,
    );
  return text.replace(/\/$/, "");
}
