import type { Session } from "@earendil-works/pi-agent-core";
import type { Fence } from "@serverless-harness/session";
import type { LeafEvents } from "./leaf-events.ts";

/** Pi's sessions, each opened for one owner. */
export interface PiSessions {
  /**
   * Open the log of the fence's session, making it where it is absent. Its id is the session's key. From then on every commit is refused with
   * `stale_epoch` (FAILED_PRECONDITION) once the session has a newer owner, and nothing of it is written; so is the opening itself. At most
   * one at a time per fence: FAILED_PRECONDITION `session_open`.
   *
   * With `events`, those of the leaf that are ready are written in the same step as a commit; it is then refused as well where the leaf is
   * not run under this fence any more.
   */
  open(fence: Fence, events?: LeafEvents): Promise<Session>;
  /** Close every session that is open, then the database. Idempotent. */
  close(): Promise<void>;
}
