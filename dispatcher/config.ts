import { existsSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { type Address, formatAddress, isLoopback, parseAddress, parseTarget } from "@serverless-harness/kit/address";
import { EnvReader } from "@serverless-harness/kit/env";
import { KEEP_ALIVE_MS } from "@serverless-harness/kit/keep-alive";
import { QUICK_START } from "@serverless-harness/kit/quick-start";
import { readTokenFile } from "@serverless-harness/kit/secret-file";
import { readServerTls, type ServerTlsFiles } from "@serverless-harness/kit/tls";
import { readTracing, type Sampling } from "@serverless-harness/kit/tracing/tracing";
import type { Retention } from "@serverless-harness/session";
import { type AuditConfig, readAudit } from "./audit/config.ts";
import { readIssuersFile } from "./callers/issuers-file.ts";
import type { TrustedIssuer } from "./callers/signed-tokens.ts";
import { type DoorRules, readDoorRules } from "./door/rules.ts";
import { defaultTable, type LimitsTable } from "./limits/limits-file.ts";
import { type PoolConfig, readPool } from "./pool/config.ts";
import { publicKeyOf, readSandboxAccess } from "./sandbox/config.ts";
import type { SandboxSettings } from "./sandbox/sandbox.ts";
import { readScaler } from "./scaler/config.ts";
import type { ScalerConfig } from "./scaler/serve.ts";
import { readSeedApi, withSeedNames } from "./seed-api/config.ts";
import type { SeedApiSettings } from "./seed-api/settings.ts";
import type { BrainLogOptions } from "./waker/brain-log.ts";
import { readKnative } from "./waker/config.ts";
import type { KnativeConfig } from "./waker/knative.ts";
import { readWebhooks, type WebhooksConfig } from "./webhooks/config.ts";

/** The dispatcher's settings. */
export interface Config {
  /** URL of the leaf store. */
  readonly leafStore: string;
  readonly listen: Address;
  /** TLS on the port. */
  readonly tls: ServerTlsFiles | undefined;
  /** Which requests get in at all. */
  readonly door: DoorRules;
  /** A port of their own for health and metrics, without TLS and token. */
  readonly metricsListen: Address | undefined;
  /** The operator's bearer token; absent only on a Unix socket, where the file's mode guards, and where others' tokens are trusted. */
  readonly token: string | undefined;
  /** File of the keys that our own tokens are signed with. */
  readonly signingKeys: string | undefined;
  /** Our name in our own tokens. */
  readonly issuer: string;
  /** Whose tokens are trusted besides. */
  readonly trustedIssuers: readonly TrustedIssuer[];
  /** What brains must send to get into the sandbox. */
  readonly brainToken: string | undefined;
  readonly waker: "local" | "knative" | "keda" | "none";
  /** How brains are called; for the waker `knative` only. */
  readonly knative: KnativeConfig | undefined;
  /** KEDA's external scaler, on a port of its own. */
  readonly scaler: ScalerConfig | undefined;
  readonly webhooks: WebhooksConfig;
  /** Where it is written down who did what; `undefined`: nowhere. */
  readonly audit: AuditConfig | undefined;
  /** How long leaves and then their tombstones are kept. */
  readonly retention: Retention;
  /** What brains say. */
  readonly brainLog: BrainLogOptions;
  /** How long a session is kept after its last owner came, in milliseconds. */
  readonly keepSessionsMs: number;
  /** The sandbox; `undefined` where nothing says where it is. */
  readonly sandbox: SandboxSettings | undefined;
  /** Verifies the tokens that open sandboxes, as PEM. `undefined`: this dispatcher makes none. */
  readonly sandboxPublicKey: string | undefined;
  /** The pool of sandboxes in which brains place sessions. */
  readonly pool: PoolConfig | undefined;
  /** Program and arguments that start a brain. */
  readonly brainCommand: readonly [string, ...string[]];
  /** The directory that leaves are read from and written to, as callers write it, and where it is without links. */
  readonly volume: { readonly path: string; readonly at: string } | undefined;
  /** How `/runs` is served, and to whom. */
  readonly seedApi: SeedApiSettings;
  /** A stream of events is never silent for longer, in milliseconds. */
  readonly keepAliveMs: number;
  /** Who waits for a leaf's end waits no longer for room in a sandbox, in milliseconds. */
  readonly saturationMs: number;
  /** What a brain inherits. */
  readonly brainEnvironment: Readonly<Record<string, string | undefined>>;
  /** The operator's file of limits, and what goes without it. */
  readonly limits: { readonly path: string | undefined; readonly defaults: LimitsTable };
  /** Which traces are sent to a collector. `undefined`: none. */
  readonly tracing: Sampling | undefined;
  readonly logLevel: string;
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;
const DEFAULT_LISTEN = "http://127.0.0.1:7433";

/** Read the settings; a ConfigError lists everything that is wrong with them. */
export function readConfig(environment: Readonly<Record<string, string | undefined>> = process.env): Config {
  const env = withSeedNames(environment);
  const reader = new EnvReader(env);
  const address = readListen(reader);
  const tls = readServerTls(reader, address, {
    cert: reader.file("DISPATCHER_TLS_CERT_FILE"),
    key: reader.file("DISPATCHER_TLS_KEY_FILE"),
    clientCa: reader.file("DISPATCHER_TLS_CLIENT_CA_FILE"),
  });
  const listen: Address = tls !== undefined && address.kind === "tcp" ? { ...address, tls: true } : address;
  const waker = reader.choice("DISPATCHER_WAKER", "local", ["local", "knative", "keda", "none"]);
  const scaler = readScaler(reader);
  if (waker === "keda" && scaler === undefined)
    reader.problem(
      "DISPATCHER_SCALER_LISTEN is not set: DISPATCHER_WAKER=keda needs it, as that is where KEDA asks how much there is to do",
    );
  // An address that can't be read is told by brains, which need it first.
  const target = parseTarget(reader.string("HANDS_URL", ""));
  const access = readSandboxAccess(reader, target?.address);
  const retention = {
    leafMs: hours(reader, "DISPATCHER_KEEP_LEAVES_HOURS", 7 * 24),
    tombstoneMs: hours(reader, "DISPATCHER_KEEP_TOMBSTONES_HOURS", 30 * 24),
  };
  return reader.done({
    leafStore: reader.required("LEAF_STORE", "the leaf store's URL, as sqlite:/absolute/path/leaf.db or redis://host:port"),
    listen,
    tls,
    door: readDoorRules(reader, { hosts: "DISPATCHER_ALLOWED_HOSTS", origins: "DISPATCHER_ALLOWED_ORIGINS" }),
    metricsListen: reader.probesAddress("DISPATCHER_METRICS_LISTEN"),
    token: readToken(reader, listen),
    signingKeys: reader.optional("DISPATCHER_SIGNING_KEYS_FILE"),
    issuer: reader.string("DISPATCHER_ISSUER", "serverless-harness"),
    trustedIssuers: readTrustedIssuers(reader),
    brainToken: readBrainToken(reader),
    waker,
    knative: waker === "knative" ? readKnative(reader) : undefined,
    scaler,
    webhooks: readWebhooks(reader, retention),
    audit: readAudit(reader),
    retention,
    keepSessionsMs: hours(reader, "DISPATCHER_KEEP_SESSIONS_HOURS", 30 * 24),
    sandbox: target && { target, ...access },
    sandboxPublicKey: publicKeyOf(access.credential),
    pool: readPool(reader, access),
    keepAliveMs: reader.integer("DISPATCHER_KEEP_ALIVE_MS", KEEP_ALIVE_MS, 100, 3_600_000),
    saturationMs: reader.integer("DISPATCHER_SATURATION_WAIT_MS", 30_000, 0, 3_600_000),
    brainLog: {
      path: reader.optional("DISPATCHER_BRAIN_LOG"),
      maxBytes: Math.round(reader.number("DISPATCHER_BRAIN_LOG_MB", 10, 0.01, 100_000) * 1e6),
    },
    limits: {
      path: reader.optional("DISPATCHER_LIMITS_FILE"),
      defaults: defaultTable({
        schedules: reader.integer("DISPATCHER_SCHEDULES_PER_TENANT", 100, 0, 100_000),
        schedule_interval_s: reader.integer("DISPATCHER_SCHEDULE_INTERVAL_S", 1, 1, 86_400),
      }),
    },
    brainCommand: readBrainCommand(reader),
    volume: readVolume(reader),
    seedApi: readSeedApi(reader, env),
    brainEnvironment: env,
    tracing: readTracing(reader),
    logLevel: reader.choice("LOG_LEVEL", "info", LOG_LEVELS),
  });
}

/** A time of up to ten years, in milliseconds. The setting is in hours; a minute is 0.0167 of one. */
function hours(reader: EnvReader, name: string, fallback: number): number {
  return Math.round(reader.number(name, fallback, 0.01, 87_600) * 3_600_000);
}

function readVolume(reader: EnvReader): Config["volume"] {
  const path = reader.optional("DISPATCHER_VOLUME");
  if (path === undefined) return undefined;
  try {
    const at = realpathSync(path);
    if (isAbsolute(path) && at !== "/" && statSync(at).isDirectory()) return { path: normalize(path), at };
    reader.problem(`DISPATCHER_VOLUME is ${JSON.stringify(path)}: it must be the absolute path of a directory, and not /`);
  } catch (error) {
    reader.problem(`DISPATCHER_VOLUME: ${path} can't be used (${(error as NodeJS.ErrnoException).code})`);
  }
  return undefined;
}

function readListen(reader: EnvReader): Address {
  const text = reader.string("DISPATCHER_LISTEN", DEFAULT_LISTEN);
  const address = parseAddress(text);
  if (address !== undefined) return address;
  reader.problem(`DISPATCHER_LISTEN is ${JSON.stringify(text)}: it must be http://host:port, https://host:port or unix:/absolute/path`);
  return { kind: "unix", path: "/" };
}

function readToken(reader: EnvReader, listen: Address): string | undefined {
  const file = reader.optional("DISPATCHER_TOKEN_FILE");
  if (file === undefined) {
    const others = reader.optional("DISPATCHER_SIGNING_KEYS_FILE") ?? reader.optional("DISPATCHER_ISSUERS_FILE");
    if (listen.kind === "unix" || others !== undefined) return undefined;
    const reach = isLoopback(listen) ? "every user of this machine" : "other machines";
    reader.problem(
      `DISPATCHER_TOKEN_FILE is not set: ${formatAddress(listen)} can be reached by ${reach}; name a file that holds the bearer token which clients must send`,
    );
    return undefined;
  }
  return readTokenFile(reader, "DISPATCHER_TOKEN_FILE", file);
}

/** Whoever holds the sandbox's key gives brains their tokens; a client's token must not do. */
function readBrainToken(reader: EnvReader): string | undefined {
  const [file, clients] = [reader.optional("BRAIN_TOKEN_FILE"), reader.optional("DISPATCHER_TOKEN_FILE")];
  if (file === undefined) {
    if (reader.optional("HANDS_PRIVATE_KEY_FILE") !== undefined)
      reader.problem(
        "BRAIN_TOKEN_FILE is not set: with HANDS_PRIVATE_KEY_FILE brains get tokens for the sandbox here, and need a word for it",
      );
    return undefined;
  }
  if (file === clients) reader.problem("BRAIN_TOKEN_FILE and DISPATCHER_TOKEN_FILE are the same file: brains need a word of their own");
  return readTokenFile(reader, "BRAIN_TOKEN_FILE", file);
}

function readTrustedIssuers(reader: EnvReader): readonly TrustedIssuer[] {
  const file = reader.optional("DISPATCHER_ISSUERS_FILE");
  if (file === undefined) return [];
  try {
    return readIssuersFile(file);
  } catch (error) {
    reader.problem(`DISPATCHER_ISSUERS_FILE: ${error instanceof Error ? error.message : error}`);
    return [];
  }
}

function readBrainCommand(reader: EnvReader): readonly [string, ...string[]] {
  const text = reader.optional("DISPATCHER_BRAIN_COMMAND");
  const fallback: [string, ...string[]] = [process.execPath, ...QUICK_START, brainProgram()];
  if (text === undefined) return fallback;
  const command = parseJson(text);
  if (isCommand(command)) return command;
  reader.problem('DISPATCHER_BRAIN_COMMAND must be a JSON list of a program and its arguments, as ["node", "/app/brain.js"]');
  return fallback;
}

/** The brain's sources beside ours, or, where this is bundled, its bundle. */
function brainProgram(): string {
  const [sources, bundle] = ["../brain/main.ts", "../brain/main.mjs"].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return bundle !== undefined && existsSync(bundle) ? bundle : (sources ?? "");
}

function isCommand(value: unknown): value is [string, ...string[]] {
  return Array.isArray(value) && value.length > 0 && value.every((part) => typeof part === "string") && value[0] !== "";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
