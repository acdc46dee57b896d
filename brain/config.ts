import { readFileSync } from "node:fs";
import { type Address, parseAddress, parseTarget } from "@serverless-harness/kit/address";
import type { ClientTls } from "@serverless-harness/kit/connection";
import { EnvReader } from "@serverless-harness/kit/env";
import { newId } from "@serverless-harness/kit/ids";
import { readClientTls } from "@serverless-harness/kit/tls";
import { readTracing, type Sampling } from "@serverless-harness/kit/tracing/tracing";

/** How a brain proves itself to hands. */
export type HandsCredential =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  /** The dispatcher gives tokens for what was claimed. */
  | { readonly kind: "dispatcher"; readonly address: Address; readonly tls: ClientTls | undefined; readonly token: string };

/** Every variable of its own that a brain reads; model providers read theirs. */
export const VARIABLES = [
  "LEAF_STORE",
  "HANDS_URL",
  "HANDS_TOKEN_FILE",
  "BRAIN_TOKEN_FILE",
  "DISPATCHER_URL",
  "BRAIN_TLS_CA_FILE",
  "BRAIN_TLS_CERT_FILE",
  "BRAIN_TLS_KEY_FILE",
  "HANDS_TLS_CA_FILE",
  "HANDS_TLS_CERT_FILE",
  "HANDS_TLS_KEY_FILE",
  "BRAIN_HANDS_PATIENCE_MS",
  "BRAIN_NAME",
  "BRAIN_GRACE_MS",
  "BRAIN_CONCURRENCY",
  "BRAIN_LEASE_MS",
  "BRAIN_LISTEN",
  "BRAIN_SLEEP_AFTER_MS",
  "BRAIN_WAKE_URL",
  "BRAIN_SNAPSHOTS",
  "BRAIN_MODEL_SILENCE_MS",
  "LEAF_MODEL",
  "LOG_LEVEL",
] as const;

/** HANDS_URL if there is a pool of sandboxes. */
export const POOL = "pool";

/** A brain's settings; `docs/brain.md` has the table. */
export interface BrainConfig {
  readonly leafStore: string;
  /** The sandbox's address, or {@link POOL}. */
  readonly handsUrl: string;
  readonly handsCredential: HandsCredential;
  /** For an https address of hands. */
  readonly handsTls: ClientTls | undefined;
  /** How long a call waits for hands to come back, in milliseconds; after that the leaf waits in the queue. */
  readonly handsPatienceMs: number;
  readonly name: string;
  readonly graceMs: number;
  readonly concurrency: number;
  readonly leaseMs: number;
  /** Serve the wake API here instead of looking for work by itself. */
  readonly listen: Address | undefined;
  /** A leaf whose commands have run for this many milliseconds lets go of its brain. */
  readonly sleepAfterMs: number;
  /** Where hands tells that a command has ended. Absent: a leaf keeps its brain while its commands run. */
  readonly wakeUrl: string | undefined;
  /** Workspaces are stored when a leaf is let go of, and before it ends. */
  readonly snapshots: boolean;
  /** An answer of the model of which nothing comes for that long is broken off, in milliseconds. */
  readonly modelSilenceMs: number;
  /** For leaves that name none, as `provider/model`. */
  readonly model: string;
  /** What the model providers read their keys and addresses from. */
  readonly modelEnvironment: Readonly<Record<string, string | undefined>>;
  /** Which traces are sent to a collector. `undefined`: none. */
  readonly tracing: Sampling | undefined;
  readonly logLevel: string;
}

/** Read the settings. Throws a ConfigError that lists every problem. */
export function readConfig(environment: Readonly<Record<string, string | undefined>> = process.env): BrainConfig {
  const env = new EnvReader(environment);
  const handsUrl = env.required("HANDS_URL", `the sandbox's address, unix:/path, http://host:port or https://host:port, or ${POOL}`);
  const hands = parseTarget(handsUrl);
  if (handsUrl !== "" && handsUrl !== POOL && hands === undefined)
    env.problem(`HANDS_URL is ${JSON.stringify(handsUrl)}: it must be unix:/path, http://host:port or https://host:port, or ${POOL}`);
  return env.done({
    leafStore: env.required("LEAF_STORE", "the leaf store's address, as sqlite:/absolute/path/leaf.db or redis://host:port"),
    handsUrl,
    handsCredential: readCredential(env),
    handsTls: readClientTls(env, hands?.address, {
      ca: env.file("HANDS_TLS_CA_FILE"),
      cert: env.file("HANDS_TLS_CERT_FILE"),
      key: env.file("HANDS_TLS_KEY_FILE"),
    }),
    handsPatienceMs: env.integer("BRAIN_HANDS_PATIENCE_MS", 10_000, 0, 3_600_000),
    name: env.string("BRAIN_NAME", newId("brain")),
    graceMs: env.integer("BRAIN_GRACE_MS", 2000, 0, 3_600_000),
    concurrency: env.integer("BRAIN_CONCURRENCY", 50, 1, 1000),
    leaseMs: env.integer("BRAIN_LEASE_MS", 10_000, 500, 3_600_000),
    listen: readListen(env),
    sleepAfterMs: env.integer("BRAIN_SLEEP_AFTER_MS", 10_000, 0, 3_600_000),
    wakeUrl: readWakeUrl(env),
    snapshots: env.choice("BRAIN_SNAPSHOTS", "on", ["on", "off"]) === "on",
    modelSilenceMs: env.integer("BRAIN_MODEL_SILENCE_MS", 300_000, 100, 3_600_000),
    model: env.string("LEAF_MODEL", "anthropic/claude-sonnet-4-5"),
    modelEnvironment: environment,
    tracing: readTracing(env),
    logLevel: env.choice("LOG_LEVEL", "info", ["trace", "debug", "info", "warn", "error", "fatal", "silent"]),
  });
}

function readListen(env: EnvReader): Address | undefined {
  const text = env.optional("BRAIN_LISTEN");
  if (text === undefined) return undefined;
  const address = parseAddress(text);
  if (address === undefined) env.problem(`BRAIN_LISTEN is ${JSON.stringify(text)}: it must be unix:/path or http://host:port`);
  return address;
}

function readWakeUrl(env: EnvReader): string | undefined {
  const text = env.optional("BRAIN_WAKE_URL");
  if (text === undefined || (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol))) return text;
  env.problem(`BRAIN_WAKE_URL is ${JSON.stringify(text)}: it must begin with http: or https:, as http://dispatcher:7433/wake`);
  return undefined;
}

function readCredential(env: EnvReader): HandsCredential {
  const tokenFile = env.optional("HANDS_TOKEN_FILE");
  const brainTokenFile = env.optional("BRAIN_TOKEN_FILE");
  if (tokenFile !== undefined && brainTokenFile !== undefined)
    env.problem("HANDS_TOKEN_FILE and BRAIN_TOKEN_FILE are both set: set one of them");
  if (brainTokenFile !== undefined) return readDispatcher(env, readSecret(env, "BRAIN_TOKEN_FILE", brainTokenFile).trim());
  if (tokenFile !== undefined) return { kind: "token", token: readSecret(env, "HANDS_TOKEN_FILE", tokenFile).trim() };
  return { kind: "none" };
}

function readDispatcher(env: EnvReader, token: string): HandsCredential {
  const url = env.required(
    "DISPATCHER_URL",
    "with BRAIN_TOKEN_FILE tokens for the sandbox come from the dispatcher, as http://dispatcher:7433",
  );
  const address = parseAddress(url);
  if (url !== "" && address === undefined)
    env.problem(`DISPATCHER_URL is ${JSON.stringify(url)}: it must be unix:/path, http://host:port or https://host:port`);
  const tls = readClientTls(env, address, {
    ca: env.file("BRAIN_TLS_CA_FILE"),
    cert: env.file("BRAIN_TLS_CERT_FILE"),
    key: env.file("BRAIN_TLS_KEY_FILE"),
  });
  return address === undefined ? { kind: "none" } : { kind: "dispatcher", address, tls, token };
}

function readSecret(env: EnvReader, name: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    env.problem(`${name} names a file that can't be read: ${error instanceof Error ? error.message : String(error)}`);
    return "";
  }
}
