import { readFileSync } from "node:fs";

/** The user that commands are in their jail, with a line of its own in `etc/passwd`. */
export const AGENT = { name: "agent", id: 1000 } as const;

/** Users of the machine that nobody else hands out: above those that systemd gives to containers. */
const UNUSED = { first: 0x7000_0000, count: 0x1000_0000 };
/** How many of them one daemon takes. Which ones is drawn by lot, so that two daemons hardly ever meet; it would do no harm. */
const SHARE = 0x1_0000;
/** Users of a workspace: one for the fork server, which is root of the workspace's user namespace, and the next one for commands. */
const PER_WORKSPACE = 2;

/** Numbers of users, as this process's user namespace has them. */
export interface UserRange {
  readonly first: number;
  readonly count: number;
}

/**
 * The users of the machine that workspaces are told apart by: each has its own while it has a jail, so none may touch
 * processes, keyrings or limits of another, even if it should get out of its namespaces.
 */
export class WorkspaceUsers {
  readonly #range: UserRange;
  readonly #taken = new Map<string, number>();
  readonly #free: number[] = [];
  #next = 0;

  constructor(range: UserRange) {
    this.#range = range;
  }

  /** The first of a workspace's users. */
  of(name: string): number {
    const known = this.#taken.get(name);
    if (known !== undefined) return known;
    const user = this.#free.pop() ?? this.#range.first + PER_WORKSPACE * this.#next++;
    if (user + PER_WORKSPACE > this.#range.first + this.#range.count)
      throw new Error(`there are no users left for workspace ${name}: ${this.#taken.size} workspaces have all ${this.#range.count}`);
    this.#taken.set(name, user);
    return user;
  }

  /** A workspace is gone, and all that ran in it: another one may have its users. */
  release(name: string): void {
    const user = this.#taken.get(name);
    if (user === undefined || !this.#taken.delete(name)) return;
    this.#free.push(user);
  }
}

/**
 * Users that this process may hand out to a user namespace below its own; `undefined` if there are too few. `map`: as
 * in /proc/self/uid_map.
 */
export function availableUsers(
  map: string = readFileSync("/proc/self/uid_map", "utf8"),
  draw: number = Math.random(),
): UserRange | undefined {
  const extents = map
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([first = 0, , count = 0]) => ({ first, count }));
  const all = extents.some(({ first, count }) => first <= UNUSED.first && first + count >= UNUSED.first + UNUSED.count);
  if (all) return { first: UNUSED.first + Math.floor((draw * UNUSED.count) / SHARE) * SHARE, count: SHARE };
  // In a container that has only some: those at the end, which its own programs hardly use.
  const last = extents.at(-1);
  if (last === undefined || last.count < SHARE / 2) return undefined;
  const count = Math.min(SHARE, Math.floor(last.count / 2));
  return { first: last.first + last.count - count, count };
}
