import { userInfo } from "node:os";

/** Who says and decides things, for a leaf's log: the user's name, or the number where the system knows no name, as in many containers. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(userId());
  }
}

/** The user's number. */
export function userId(): number {
  return process.getuid?.() ?? userInfo().uid;
}
