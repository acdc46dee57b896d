import { userInfo } from "node:os";

/** Who says and decides things, for a leaf's log: the user's name, or the number if the system has no name for it, as in many containers. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(userId());
  }
}

export function userId(): number {
  return process.getuid?.() ?? userInfo().uid;
}
