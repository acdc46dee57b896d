import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { userId } from "../user.ts";

/** Layout of the state directory that this version reads and writes. */
export const LAYOUT = 1;

/** A socket's path has to fit into 108 bytes with its end mark (unix(7)); this leaves some room for names beside it. */
const MAX_SOCKET_PATH = 100;

/** Processes that `leaf up` starts; brains and commands come and go below them. */
export const SERVICES = ["hands", "model", "dispatcher"] as const;
export type ServiceName = (typeof SERVICES)[number];

/** What has a log, each in a file of its own. */
export const LOGS = [...SERVICES, "brain"] as const;
export type LogName = (typeof LOGS)[number];

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
  readonly workspaces: string;
  readonly sandboxState: string;
  /** Directory of hands' socket, and of nothing else. */
  readonly handsDir: string;
  readonly handsSocket: string;
  record(service: ServiceName): string;
  /** What a service's watcher knows of it. */
  watch(service: ServiceName): string;
  /** The address of a service that has worked. Without this file its watcher does not start it again. */
  worked(service: ServiceName): string;
  log(name: LogName): string;
}

/** The paths in `dir`, an absolute path. */
export function stackPaths(dir: string): StackPaths {
  const inside = join(dir, "run", "hands");
  const fits = Buffer.byteLength(join(inside, "hands.sock")) <= MAX_SOCKET_PATH;
  const handsDir = fits ? inside : shortDirectory(dir);
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
    workspaces: join(dir, "sandbox", "workspaces"),
    sandboxState: join(dir, "sandbox", "state"),
    handsDir,
    handsSocket: join(handsDir, "hands.sock"),
    record: (service) => join(dir, "run", `${service}.json`),
    watch: (service) => join(dir, "run", `${service}.watch`),
    worked: (service) => join(dir, "run", `${service}.address`),
    log: (name) => join(dir, "log", `${name}.log`),
  };
}

/** A directory with a short name for this user and this state directory. */
function shortDirectory(dir: string): string {
  const hash = createHash("sha256").update(dir).digest("hex").slice(0, 12);
  return join(tmpdir(), `leaf-${userId()}-${hash}`);
}
