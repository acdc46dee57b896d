import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Fence } from "@serverless-harness/session";
import {
  type Argument,
  type Database,
  encode,
  list,
  loadScript,
  type Reply,
  runCommand,
  runScript,
  type Script,
  STORE_SCRIPTS,
  sessionName,
  staleEpoch,
} from "@serverless-harness/session/redis";

const DIRECTORIES = [new URL("scripts/", import.meta.url), STORE_SCRIPTS];

/** `nameAt`: which argument is the session's name. */
function script(name: string, nameAt = 1): Script {
  return loadScript(name, DIRECTORIES, `local NAME = ARGV[${nameAt}]`);
}

/** The one script that also appends to a leaf's log, and takes the arguments of that before its own. */
export const COMMIT = script("commit", 3);

/** Scripts; each file says what its arguments are. */
export const SCRIPTS = {
  begin: script("begin"),
  branch: script("branch"),
  create: script("create"),
  delete: script("delete"),
  expire: script("expire"),
  get: script("get"),
  idle: script("idle"),
  list: script("list"),
  open: script("open"),
  position: script("position"),
  remove: script("remove"),
  restore: script("restore"),
  scan: script("scan"),
  spaces: script("spaces"),
  stats: script("stats"),
  values: script("values"),
};

/** Where one of Pi's sessions lies, and who may write there. */
export class SessionKeys {
  readonly database: Database;
  /** As the leaf store names the session, so that both are in one partition and one fence guards both. */
  readonly name: string;
  readonly partition: number;
  readonly #fence: Fence | undefined;

  /** Without a fence, anybody may write. */
  constructor(database: Database, name: string, fence: Fence | undefined) {
    this.database = database;
    this.name = name;
    this.partition = database.names.partitionOf(name);
    this.#fence = fence;
  }

  /** There is a fence, so that nobody else writes. */
  get owned(): boolean {
    return this.#fence !== undefined;
  }

  /** Run a script that needs no proof. */
  read(name: keyof typeof SCRIPTS, ...args: readonly Argument[]): Promise<Reply> {
    return runScript(this.database.client, SCRIPTS[name], [this.database.names.base(this.partition)], [this.name, ...args]);
  }

  /** Run a script that first proves, in the same step, that the fence is the session's newest one. Throws `stale_epoch` if it is not. */
  async write(name: keyof typeof SCRIPTS, ...args: readonly Argument[]): Promise<Reply> {
    return this.#proving(this.read(name, this.#fence?.epoch ?? "", ...args));
  }

  /** Run a commit's script, which proves the same. Throws `session_conflict` if the session stands elsewhere than the writer knows. */
  commit(...args: readonly Argument[]): Promise<Reply> {
    const { client, names, time } = this.database;
    const head = [time, names.prefix, this.name, this.#fence?.epoch ?? ""];
    return this.#proving(runScript(client, COMMIT, [names.base(this.partition)], [...head, ...args]));
  }

  /** Run a command on one of the session's keys. */
  command(command: string, kind: string, ...args: readonly Argument[]): Promise<Reply> {
    return runCommand(this.database.client, command, `${this.database.names.base(this.partition)}:pi:${this.name}:${kind}`, ...args);
  }

  async #proving(reply: Promise<Reply>): Promise<Reply> {
    try {
      return await reply;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (this.#fence !== undefined && error.message.startsWith("STALE_EPOCH")) throw staleEpoch(this.#fence);
      throw error.message.startsWith("OTHER_WRITER") ? otherWriter() : error;
    }
  }
}

/** How the leaf store names the session of an id that {@link sessionKey} made, or any other id. */
export function nameOfId(id: string): string {
  const slash = id.indexOf("/");
  return slash < 0 ? encode(id) : sessionName(id.slice(0, slash), id.slice(slash + 1));
}

/**
 * A page of a partition's sessions that were not written to since a time in milliseconds, from place `skip` on, the longest idle first.
 * Those with a leaf that is not over are empty.
 */
export async function idleNames(database: Database, partition: number, sinceMs: number, skip: number): Promise<string[]> {
  return list(await runScript(database.client, SCRIPTS.idle, [database.names.base(partition)], ["", sinceMs, skip])).map(String);
}

/** Names of a partition's sessions. */
export async function sessionNames(database: Database, partition: number): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const page = list(await runScript(database.client, SCRIPTS.list, [database.names.base(partition)], ["", names.length]));
    names.push(...page.map(String));
    if (page.length === 0) return names;
  }
}

/** Errors after which nobody knows whether the script ran. */
const IN_DOUBT = new Set(["store_unreachable", "store_closed"]);

/** What Redis itself refused, it did not do. */
export function hasNoEffect(error: unknown): boolean {
  if (error instanceof HarnessError) return !IN_DOUBT.has(error.reason);
  return error instanceof Error && error.name === "ReplyError";
}

/** Somebody else wrote to a session under the epoch of its owner. */
export function otherWriter(): HarnessError {
  const message = "another process wrote to the session under the same epoch: only one may have it open, close it here";
  return new HarnessError(Code.FailedPrecondition, "session_conflict", message);
}
