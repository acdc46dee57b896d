import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@serverless-harness/kit/env";
import type { Logger } from "@serverless-harness/kit/log";
import { findProgram } from "../process/system-files.ts";
import { deviceMounts, procMounts } from "./mounts.ts";
import { AGENT, availableUsers, WorkspaceUsers } from "./users.ts";

/** Where cell.c shows directories before the jail has them, and the descriptor that it opens the filter of system calls as. */
export const STAGE = "/run/cell";
const FILTER_FD = "9";

/** What the fork server keeps of root's powers over its own user namespace: those to start commands as another user and to end them. */
const POWERS = ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"];

/** A directory, or a file, of the daemon's world that the jail shows. */
export interface Shown {
  readonly from: string;
  readonly to: string;
  readonly writable: boolean;
}

interface JailPlan {
  readonly workspace: string;
  /** Arguments of bwrap that cover what the daemon has and commands must not see. */
  readonly covers: readonly string[];
  readonly shown: readonly Shown[];
  /** Arguments of bwrap that come last. */
  readonly options: readonly string[];
}

/**
 * The jail for commands, within the daemon's: its own processes, no system call that tools don't need, and nothing of
 * the daemon's memory, state, socket and code. If hands is root each workspace's commands are a user of their own,
 * else they are the daemon's user, without its powers.
 */
export class CommandJail {
  /** How workspaces are told apart by users; `undefined`: all are the daemon's own user. */
  readonly #users: WorkspaceUsers | undefined;

  private constructor(users: WorkspaceUsers | undefined) {
    this.#users = users;
  }

  /** The best jail that can be made here, tried out on the workspaces' directory. Throws a ConfigError if there is none. */
  static open(directory: string, log: Logger): CommandJail {
    if (isRoot()) {
      const range = availableUsers();
      const jail = range === undefined ? undefined : new CommandJail(new WorkspaceUsers(range));
      const why = jail === undefined ? "this container has too few users" : jail.#tryOut(directory);
      if (jail !== undefined && why === undefined) return jail;
      log.warn({ why }, "commands run as the daemon's own user, without its powers: they can't have users of their own here");
    }
    const jail = new CommandJail(undefined);
    const problem = jail.#tryOut(directory);
    if (problem === undefined) return jail;
    throw new ConfigError(
      `the jail for commands can't be made (${problem}): allow user namespaces, or set HANDS_SANDBOX=process to run commands unconfined`,
    );
  }

  /** Commands are another user than the daemon, and than commands of other workspaces. */
  get dividesUsers(): boolean {
    return this.#users !== undefined;
  }

  /** A program and its arguments to run a program by, in the jail. It begins as root of the jail if {@link dividesUsers}. */
  around({ workspace, covers, shown, options }: JailPlan): string[] {
    const { cell, filter, etc, bwrap } = jailFiles();
    const user = this.#users?.of(workspace);
    const all = [...shown, { from: etc, to: "/etc", writable: false }];
    const staged = isRoot() ? all.flatMap(({ from }, index) => ["--bind", from, String(index)]) : [];
    const sources = all.map(({ from }, index) => (isRoot() ? `${STAGE}/${index}` : from));
    const users = user === undefined ? [] : ["--user", String(user), "--as", String(AGENT.id)];
    return [
      ...[cell, "--filter", filter, ...users, ...staged, "--"],
      ...[bwrap, "--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try", "--die-with-parent", "--seccomp", FILTER_FD],
      ...identity(user !== undefined),
      ...["--bind", "/", "/", ...procMounts(`${sources.at(-1)}/${EMPTY}`), ...deviceMounts(), "--tmpfs", "/run"],
      ...covers,
      ...shown.flatMap(({ to, writable }, index) => [writable ? "--bind" : "--ro-bind", sources[index] ?? "", to]),
      ...["passwd", "group"].flatMap((name) => ["--ro-bind", `${sources.at(-1)}/${name}`, `/etc/${name}`]),
      ...["--remount-ro", "/run", ...options],
    ];
  }

  /** A workspace is gone: its users may be another's. */
  release(workspace: string): void {
    this.#users?.release(workspace);
  }

  /** Why it can't be made; `undefined`: it can. */
  #tryOut(directory: string): string | undefined {
    const plan = { workspace: "", covers: [], shown: [{ from: directory, to: directory, writable: true }], options: ["--"] };
    const [program = "", ...args] = [...this.around(plan), "/bin/true"];
    this.release(plan.workspace);
    const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8", env: {} });
    return status === 0 ? undefined : (error?.message ?? (stderr.trim() || `it ended with ${status}`));
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** Who the first program in the jail is. */
function identity(dividesUsers: boolean): string[] {
  if (dividesUsers) return ["--cap-drop", "ALL", ...POWERS.flatMap((name) => ["--cap-add", name])];
  return ["--unshare-user", "--uid", String(AGENT.id), "--gid", String(AGENT.id)];
}

/** What a jail for commands is made with; all paths are absolute. */
interface JailFiles {
  /** Prepares what bwrap can't. */
  readonly cell: string;
  readonly filter: string;
  /** Files that take the place of the machine's own. */
  readonly etc: string;
  readonly bwrap: string;
}

/** An empty file among those that take the place of the machine's. */
export const EMPTY = "empty";

/** The files beside this one. A {@link ConfigError} that says how to build or install what is missing. */
export function jailFiles(): JailFiles {
  const cell = fileURLToPath(new URL("./build/cell", import.meta.url));
  const filter = fileURLToPath(new URL("./build/filter.bpf", import.meta.url));
  const etc = fileURLToPath(new URL("./etc", import.meta.url));
  for (const path of [cell, filter])
    if (!existsSync(path)) throw new ConfigError(`${path} is missing: build it with \`sh hands/jail/build.sh\` (npm run setup does so)`);
  return { cell, filter, etc, bwrap: findBubblewrap() };
}

/** The path of bubblewrap. A {@link ConfigError} that says how to install it. */
export function findBubblewrap(): string {
  const bwrap = findProgram("bwrap");
  if (bwrap !== undefined) return bwrap;
  throw new ConfigError(
    "bubblewrap is not installed: install it (Debian: apt-get install bubblewrap), or set HANDS_SANDBOX=process to run commands unconfined",
  );
}
