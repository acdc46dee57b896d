import { totalmem } from "node:os";
import { isAbsolute, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";
import { type Address, parseAddress } from "@serverless-harness/kit/address";
import { type AllowedHosts, readAllowedHosts } from "@serverless-harness/kit/address-rule";
import { EnvReader } from "@serverless-harness/kit/env";
import { KEEP_ALIVE_MS } from "@serverless-harness/kit/keep-alive";
import type { Root } from "@serverless-harness/kit/paths/locate";
import { readServerTls, type ServerTlsFiles } from "@serverless-harness/kit/tls";
import { NoticeAddresses } from "./exec/end-notices.ts";
import type { ExecLimits } from "./exec/limits.ts";
import type { Durability } from "./fs/durable.ts";
import { readLocalRoots } from "./local-roots.ts";
import { type Offer, readOffer } from "./offer.ts";
import { type RelayConfig, readRelay } from "./relay.ts";

/** How commands are kept from the rest of the machine. */
export type SandboxKind = "bwrap" | "process";

/** What commands reach: public addresses alone, all that the machine reaches, or nothing. */
export type NetworkKind = "public" | "host" | "none";

/** Every variable that hands reads; a test holds the README to it. */
export const VARIABLES = [
  "HANDS_LISTEN",
  "HANDS_PUBLIC_KEY_FILE",
  "HANDS_TLS_CERT_FILE",
  "HANDS_TLS_KEY_FILE",
  "HANDS_TLS_CLIENT_CA_FILE",
  "HANDS_RELAY_URL",
  "HANDS_RELAY_TOKEN_FILE",
  "HANDS_RELAY_TLS_CA_FILE",
  "HANDS_RELAY_TLS_CERT_FILE",
  "HANDS_RELAY_TLS_KEY_FILE",
  "HANDS_METRICS_LISTEN",
  "HANDS_WORKSPACES",
  "HANDS_STATE",
  "HANDS_LABELS",
  "HANDS_CAPACITY",
  "HANDS_SANDBOX",
  "HANDS_NETWORK",
  "HANDS_PRIVATE_HOSTS",
  "HANDS_NOTIFY_URL",
  "HANDS_JAILS",
  "HANDS_JAIL_IDLE_MS",
  "HANDS_DURABILITY",
  "HANDS_ARTIFACTS",
  "HANDS_ARTIFACTS_KEY_FILE",
  "HANDS_LOCAL_REPOSITORIES",
  "https_proxy",
  "no_proxy",
  "HANDS_HOME",
  "HANDS_TMP",
  "HANDS_CGROUP",
  "HANDS_MEMORY_BYTES",
  "HANDS_PROCESSES",
  "HANDS_DISK_BYTES",
  "HANDS_GRACE_MS",
  "HANDS_OPEN_EXECS",
  "HANDS_OUTPUT_BYTES",
  "HANDS_SPILL_BYTES",
  "HANDS_WALL_MS",
  "HANDS_SILENCE_MS",
  "HANDS_READER_LAG_BYTES",
  "HANDS_STDIN_BYTES",
  "HANDS_KEPT_EXECS",
  "HANDS_KEPT_MS",
  "HANDS_KEPT_BYTES",
  "HANDS_KEEP_ALIVE_MS",
  "LOG_LEVEL",
] as const;

/** The daemon's settings. All directories are absolute. */
export interface HandsConfig {
  readonly listen: Address;
  /** PEM file with the key that verifies tokens. `undefined`: no token is asked for. */
  readonly publicKeyFile: string | undefined;
  /** TLS on the port. */
  readonly tls: ServerTlsFiles | undefined;
  /** Dial out to this relay, which hands calls on. */
  readonly relay: RelayConfig | undefined;
  /** A port of their own for health and metrics, without TLS and tokens. */
  readonly metricsListen: Address | undefined;
  /** Holds the workspaces. */
  readonly workspaces: string;
  /** The daemon's own memory: epochs, journals. */
  readonly state: string;
  /** What a pool of sandboxes is told of this one. */
  readonly offer: Offer;
  /** HOME of commands. */
  readonly home: string;
  /** TMPDIR of commands. */
  readonly temporary: string;
  readonly sandbox: SandboxKind;
  /** This process is inside the jail already. Set by the jail, never by a user. */
  readonly jailed: boolean;
  readonly network: NetworkKind;
  /** What may be reached though its address is not public. */
  readonly privateHosts: AllowedHosts;
  /** Where ends of execs may be told. */
  readonly noticeAddresses: NoticeAddresses;
  readonly durability: Durability;
  /** URL of the store of snapshots. */
  readonly artifacts: string;
  /** File with the key of that store's users. `undefined`: this daemon is the only one. */
  readonly artifactsKeyFile: string | undefined;
  /** Directories whose repositories may be cloned by their paths. */
  readonly localRepositories: readonly Root[];
  /** Variables of git, for the way to repositories. */
  readonly gitEnvironment: Readonly<Record<string, string>>;
  /** Jails of workspaces that may live at once while nothing runs in them. */
  readonly maxJails: number;
  /** How long a jail lives in which nothing does, in milliseconds. 0: for ever. */
  readonly jailIdleMs: number;
  /** A cgroup v2 that is hands' to divide among workspaces. */
  readonly cgroup: string | undefined;
  /** The cgroup v2 that hands is in, where the jail shows it. Set by the jail, never by a user. */
  readonly ownCgroup: string | undefined;
  /** Memory of all processes of a workspace together, in bytes. 0: no limit. */
  readonly memoryBytes: number;
  /** Processes and threads of a workspace. 0: no limit. */
  readonly processes: number;
  /** What the commands of a workspace may have on disk, in bytes. 0: no limit. */
  readonly diskBytes: number;
  /** How long running commands may go on after SIGTERM, in milliseconds, before they are ended. */
  readonly graceMs: number;
  readonly limits: ExecLimits;
  /** A stream is never silent for longer, in milliseconds. */
  readonly keepAliveMs: number;
  readonly logLevel: string;
  /** The variables as they were set, for the same daemon elsewhere. */
  readonly variables: Readonly<Record<string, string>>;
}

const MIB = 1024 * 1024;
const MINUTE_MS = 60 * 1000;
const DAY_MS = 24 * 3600 * 1000;
/** Memory that a jail takes in which nothing runs, and how much of all memory may go to such jails. */
const JAIL_BYTES = 4 * MIB;
const SHARE_OF_JAILS = 0.05;
const JAILS = { least: 4, most: 100 };
const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** Read the settings. Throws a ConfigError that names every variable that can't be used. */
export function readConfig(variables: Readonly<Record<string, string | undefined>> = process.env): HandsConfig {
  const env = new EnvReader(variables);
  const address = readListen(env);
  const tls = readServerTls(env, address, {
    cert: env.file("HANDS_TLS_CERT_FILE"),
    key: env.file("HANDS_TLS_KEY_FILE"),
    clientCa: env.file("HANDS_TLS_CLIENT_CA_FILE"),
  });
  const listen: Address = tls !== undefined && address.kind === "tcp" ? { ...address, tls: true } : address;
  const metricsListen = env.probesAddress("HANDS_METRICS_LISTEN");
  const publicKeyFile = env.optional("HANDS_PUBLIC_KEY_FILE");
  if (listen.kind === "tcp" && publicKeyFile === undefined) {
    env.problem(
      "HANDS_PUBLIC_KEY_FILE is not set: on TCP hands needs the key that verifies tokens; without one use HANDS_LISTEN=unix:/path",
    );
  }
  const sandbox = env.choice("HANDS_SANDBOX", "bwrap", ["bwrap", "process"]);
  const network = readNetwork(env, sandbox);
  for (const [name, where] of Object.entries({ HANDS_LISTEN: listen, HANDS_METRICS_LISTEN: metricsListen })) {
    if (network === "none" && where?.kind === "tcp")
      env.problem(
        `HANDS_NETWORK=none allows no port in ${name}, as a port in the jail is out of reach: use a Unix socket in HANDS_LISTEN alone`,
      );
  }
  const workspaces = directory(env, "HANDS_WORKSPACES", "an absolute directory for the workspaces");
  const state = directory(env, "HANDS_STATE", "an absolute directory for the daemon's own memory, beside the workspaces and not in them");
  if (state !== "" && workspaces !== "" && `${normalize(state)}/`.startsWith(`${normalize(workspaces)}/`)) {
    env.problem("HANDS_STATE is in HANDS_WORKSPACES: commands could change it there; choose a directory beside it");
  }
  return env.done({
    listen,
    publicKeyFile,
    tls,
    relay: readRelay(env, publicKeyFile, network),
    metricsListen,
    workspaces,
    state,
    offer: readOffer(env),
    home: env.string("HANDS_HOME", join(workspaces, ".home")),
    temporary: env.string("HANDS_TMP", join(workspaces, ".tmp")),
    sandbox,
    jailed: env.flag("HANDS_JAILED", false),
    network,
    privateHosts: readPrivateHosts(env),
    artifactsKeyFile: readArtifactsKeyFile(env),
    noticeAddresses: readNoticeAddresses(env),
    artifacts: env.string("HANDS_ARTIFACTS", pathToFileURL(join(state, "artifacts")).href),
    // Only the jail says where it shows them.
    localRepositories: readLocalRoots(env, { HANDS_WORKSPACES: workspaces, HANDS_STATE: state }, env.optional("HANDS_REPOSITORIES_AT")),
    gitEnvironment: Object.fromEntries(["https_proxy", "no_proxy"].flatMap((name) => pairOf(name, env.optional(name)))),
    durability: env.choice("HANDS_DURABILITY", "process", ["process", "machine"]),
    maxJails: env.integer("HANDS_JAILS", jailsFor(Math.min(totalmem(), process.constrainedMemory() || Infinity)), 1, 10_000),
    jailIdleMs: env.integer("HANDS_JAIL_IDLE_MS", 5 * MINUTE_MS, 0, DAY_MS),
    cgroup: optionalDirectory(env, "HANDS_CGROUP"),
    ownCgroup: env.optional("HANDS_OWN_CGROUP"),
    memoryBytes: env.integer("HANDS_MEMORY_BYTES", Math.floor(totalmem() / 2), 0, Number.MAX_SAFE_INTEGER),
    diskBytes: env.integer("HANDS_DISK_BYTES", 20 * 1024 * MIB, 0, Number.MAX_SAFE_INTEGER),
    processes: env.integer("HANDS_PROCESSES", 1024, 0, 4_000_000),
    graceMs: env.integer("HANDS_GRACE_MS", 2000, 0, 3_600_000),
    limits: readLimits(env),
    keepAliveMs: env.integer("HANDS_KEEP_ALIVE_MS", KEEP_ALIVE_MS, 100, 3_600_000),
    logLevel: env.choice("LOG_LEVEL", "info", LOG_LEVELS),
    variables: Object.fromEntries(VARIABLES.flatMap((name) => (variables[name] === undefined ? [] : [[name, variables[name]]]))),
  });
}

/** How many jails may live at once on a machine, or in a container, with this much memory. */
export function jailsFor(memoryBytes: number): number {
  const jails = Math.floor((memoryBytes * SHARE_OF_JAILS) / JAIL_BYTES);
  return Math.min(Math.max(jails, JAILS.least), JAILS.most);
}

/** The environment as it is, for this very process in another form. Commands get nothing of it. */
export function environmentOf(): Readonly<NodeJS.ProcessEnv> {
  return process.env;
}

function readListen(env: EnvReader): Address {
  const text = env.required("HANDS_LISTEN", "`unix:/absolute/path` or `host:port`");
  const address = parseAddress(text);
  if (address === undefined && text !== "")
    env.problem(`HANDS_LISTEN is ${JSON.stringify(text)}: it must be unix:/absolute/path or host:port`);
  return address ?? { kind: "unix", path: "/" };
}

function directory(env: EnvReader, name: string, hint: string): string {
  const value = env.required(name, hint);
  if (value !== "" && !isAbsolute(value)) env.problem(`${name} is ${JSON.stringify(value)}: it must be an absolute path`);
  return value;
}

function optionalDirectory(env: EnvReader, name: string): string | undefined {
  const value = env.optional(name);
  if (value !== undefined && !isAbsolute(value)) env.problem(`${name} is ${JSON.stringify(value)}: it must be an absolute path`);
  return value;
}

/** Without a jail nothing can keep commands off the daemon's network. */
function readNetwork(env: EnvReader, sandbox: SandboxKind): NetworkKind {
  const network = env.choice("HANDS_NETWORK", sandbox === "bwrap" ? "public" : "host", ["public", "host", "none"]);
  if (network !== "host" && sandbox === "process")
    env.problem(`HANDS_NETWORK=${network} needs HANDS_SANDBOX=bwrap: nothing else keeps a command off the network`);
  return network;
}

function readPrivateHosts(env: EnvReader): AllowedHosts {
  const hosts = readAllowedHosts(env.string("HANDS_PRIVATE_HOSTS", ""));
  if (typeof hosts !== "string") return hosts;
  env.problem(`HANDS_PRIVATE_HOSTS can't be used: ${hosts}`);
  return { names: new Set(), networks: [] };
}

/** A store that was named may have other users, who have to know each other's snapshots from those that anybody else put there. */
function readArtifactsKeyFile(env: EnvReader): string | undefined {
  const path = env.optional("HANDS_ARTIFACTS_KEY_FILE");
  if (path === undefined && env.optional("HANDS_ARTIFACTS") !== undefined) {
    env.problem(
      "HANDS_ARTIFACTS_KEY_FILE is not set: HANDS_ARTIFACTS needs the key by which the store's users know their snapshots; " +
        "make one for all of them with: head -c 32 /dev/urandom > FILE",
    );
  }
  return path;
}

function readNoticeAddresses(env: EnvReader): NoticeAddresses {
  try {
    return NoticeAddresses.parse(env.string("HANDS_NOTIFY_URL", ""));
  } catch (error) {
    env.problem(`HANDS_NOTIFY_URL can't be used: ${error instanceof Error ? error.message : error}`);
    return NoticeAddresses.parse("");
  }
}

function readLimits(env: EnvReader): ExecLimits {
  return {
    openExecs: env.integer("HANDS_OPEN_EXECS", 64, 1, 100_000),
    outputBytes: env.integer("HANDS_OUTPUT_BYTES", 64 * MIB, 64 * 1024, 1024 * 1024 * MIB),
    spillBytes: env.integer("HANDS_SPILL_BYTES", 1024 * MIB, 0, 1024 * 1024 * MIB),
    wallMs: env.integer("HANDS_WALL_MS", 0, 0, 2_147_483_647),
    silenceMs: env.integer("HANDS_SILENCE_MS", 600_000, 0, 2_147_483_647),
    readerLagBytes: env.integer("HANDS_READER_LAG_BYTES", MIB, 64 * 1024, 1024 * MIB),
    stdinBytes: env.integer("HANDS_STDIN_BYTES", 4 * MIB, 2 * MIB, 1024 * MIB),
    keptExecs: env.integer("HANDS_KEPT_EXECS", 1000, 0, 1_000_000),
    keptMs: env.integer("HANDS_KEPT_MS", 7 * DAY_MS, 0, 366 * DAY_MS),
    keptBytes: env.integer("HANDS_KEPT_BYTES", 1024 * MIB, 0, 1024 * 1024 * MIB),
  };
}

/** A variable as an entry if it is set. */
function pairOf(name: string, value: string | undefined): Array<[string, string]> {
  return value === undefined ? [] : [[name, value]];
}
