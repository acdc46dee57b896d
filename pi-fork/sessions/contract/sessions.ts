import type { Session } from "@earendil-works/pi-agent-core";
import type { Fence } from "@serverless-harness/session";
import type { Expiry } from "../archive/file.ts";
import type { Forked } from "./fork.ts";
import type { LeafEvents } from "./leaf-events.ts";

/** Which session. */
export type SessionName = Pick<Fence, "tenant" | "sessionId">;

/** Pi's sessions, each opened for one owner. */
export interface PiSessions {
  /**
   * Open the log of the fence's session, making it if it is absent. Its id is the session's key. From then on every commit is refused with
   * `stale_epoch` (FAILED_PRECONDITION) once the session has a newer owner, and nothing of it is written; so is the opening itself. At most
   * one at a time per fence: FAILED_PRECONDITION `session_open`.
   *
   * With `events`, those of the leaf that are ready are written in the same step as a commit; it is then refused as well if the leaf is
   * not run under this fence any more.
   */
  open(fence: Fence, events?: LeafEvents): Promise<Session>;
  /**
   * Have the fence's session begin with another one's conversation, up to an entry or, if that is empty, the newest one; the other one is left alone, and
   * may be written to meanwhile. The session is there as a whole or not at all; one that is there already stays as it is. It has the same ids of
   * entries. An answer whose tool calls have not all got their results is left out. Throws NOT_FOUND `unknown_entry`, and `stale_epoch` as {@link open}.
   */
  fork(from: SessionName, entryId: string, fence: Fence): Promise<Forked>;
  /** Something was said in the session. Not before its first leaf's prompt, or {@link fork}, nor after {@link expireSessions}. */
  has(name: SessionName): Promise<boolean>;
  /**
   * A session's log as Pi's own backend of files of lines reads it, a line with its end at a time. It is read in pages; on Redis, a session that
   * is written to meanwhile is told at the end with UNAVAILABLE `session_changed`. NOT_FOUND `session_not_found`.
   */
  exportSession(name: SessionName): AsyncIterable<string>;
  /**
   * Make a session of such lines (without their ends): it is there with the last, or not at all. INVALID_ARGUMENT `archive_malformed` with line
   * and field; ALREADY_EXISTS `session_exists`.
   */
  importSession(name: SessionName, lines: AsyncIterable<string>): Promise<void>;
  /** Remove sessions that nobody uses, archiving them before if asked; one that gets a leaf or a commit meanwhile stays. Returns their keys. */
  expireSessions(expiry: Expiry): Promise<string[]>;
  /** Close every session that is open, then the database. Idempotent. */
  close(): Promise<void>;
}
