import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { userId } from "../user.ts";

/** Layout of the state directory that this version reads and writes. */
export const LAYOUT = 1;

/** A socket's path has to fit into 108 bytes with its end mark (unix(7)); this leaves some room for names beside it. */
const MAX_SOCKET_PATH = 100;

/** Processes that every stack has; brains and commands come and go below them. */
export const SERVICES = ["hands", "model", "dispatcher"] as const;
/** A process that `leaf up` starts: `hands` is the first sandbox, which every stack has, and those after it are `s2`, `s3`. */
export type ServiceName = (typeof SERVICES)[number] | `s${number}`;

/** What every stack has a log of. */
export const LOGS = [...SERVICES, "brain"] as const;
/** What has a log, each in a file of its own. */
export type LogName = ServiceName | "brain";

/** Where a sandbox of the stack keeps what it has. */
export interface SandboxPaths {
  readonly workspaces: string;
  readonly state: string;
  /** Directory of its socket, and of nothing else. */
  readonly socketDir: string;
  readonly socket: string;
}

/** The paths in a state directory. */
export interface StackPaths {
  readonly dir: string;
  readonly version: string;
  readonly lock: string;
  /** Bearer token of the dispatcher's clients. */
  readonly token: string;
  readonly keys: string;
  /** Mints tokens for hands; never in the sandbox. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** Sign and verify callers' tokens. */
  readonly signingKeys: string;
  /** The secret by which brains get tokens for the sandbox from the dispatcher. */
  readonly brainToken: string;
  readonly database: string;
  /** Directory of the audit log, and its file in it. */
  readonly audit: string;
  readonly auditLog: string;
  readonly run: string;
  readonly logs: string;
  /** Of the first sandbox. */
  readonly handsSocket: string;
  /** Snapshots of all sandboxes, and the key by which they know each other's. */
  readonly artifacts: string;
  readonly artifactsKey: string;
  /** The list of the stack's sandboxes. Without this file it has one, and no pool. */
  readonly pool: string;
  sandbox(service: ServiceName): SandboxPaths;
  /** By its name at the dispatcher. */
  joined(name: string): JoinedPaths;
  record(service: ServiceName): string;
  /** What a service's watcher knows of it. */
  watch(service: ServiceName): string;
  /** The address of a service that has worked. Without this file its watcher does not start it again. */
  worked(service: ServiceName): string;
  log(name: LogName): string;
}

/** Where a sandbox keeps what it has that this machine is for a dispatcher elsewhere. */
export interface JoinedPaths extends SandboxPaths {
  readonly home: string;
  readonly lock: string;
  readonly publicKey: string;
  readonly log: string;
}

/** The paths in `dir`, an absolute path. */
export function stackPaths(dir: string): StackPaths {
  const sandbox = (service: ServiceName): SandboxPaths => sandboxPaths(dir, service);
  return {
    dir,
    version: join(dir, "version"),
    lock: join(dir, "lock"),
    token: join(dir, "token"),
    keys: join(dir, "keys"),
    privateKey: join(dir, "keys", "hands.key"),
    publicKey: join(dir, "keys", "hands.pub"),
    signingKeys: join(dir, "keys", "signing-keys.json"),
    brainToken: join(dir, "keys", "brain.token"),
    database: join(dir, "leaf.db"),
    audit: join(dir, "audit"),
    auditLog: join(dir, "audit", "audit.jsonl"),
    run: join(dir, "run"),
    logs: join(dir, "log"),
    handsSocket: sandbox("hands").socket,
    artifacts: join(sandbox("hands").state, "artifacts"),
    artifactsKey: join(sandbox("hands").state, "artifacts.key"),
    pool: join(dir, "sandboxes.json"),
    sandbox,
    joined: (name) => joinedPaths(dir, name),
    record: (service) => join(dir, "run", `${service}.json`),
    watch: (service) => join(dir, "run", `${service}.watch`),
    worked: (service) => join(dir, "run", `${service}.address`),
    log: (name) => join(dir, "log", `${name}.log`),
  };
}

function sandboxPaths(dir: string, service: ServiceName): SandboxPaths {
  const home = service === "hands" ? join(dir, "sandbox") : join(dir, "sandbox", service);
  return pathsBelow(home, socketDirectory(dir, join("run", service), service === "hands" ? "" : `-${service}`));
}

function joinedPaths(dir: string, name: string): JoinedPaths {
  const home = join(dir, "joined", name);
  const socketDir = socketDirectory(dir, join("joined", name, "run"), `-joined-${shortHash(name)}`);
  const own = { home, lock: join(home, "lock"), publicKey: join(home, "dispatcher.pub"), log: join(home, "hands.log") };
  return { ...own, ...pathsBelow(home, socketDir) };
}

function pathsBelow(home: string, socketDir: string): SandboxPaths {
  return { workspaces: join(home, "workspaces"), state: join(home, "state"), socketDir, socket: join(socketDir, "hands.sock") };
}

/** A directory in `dir` or, if its name is too long for a socket, one with a short name for this user and `dir`, which ends with `suffix`. */
function socketDirectory(dir: string, inside: string, suffix: string): string {
  const fits = Buffer.byteLength(join(dir, inside, "hands.sock")) <= MAX_SOCKET_PATH;
  return fits ? join(dir, inside) : join(tmpdir(), `leaf-${userId()}-${shortHash(dir)}${suffix}`);
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
