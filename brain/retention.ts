import type { Logger } from "@serverless-harness/kit/log";
import type { PiSessions } from "@serverless-harness/pi-fork";
import type { LeafStore } from "@serverless-harness/session";

/** Sessions that one brain removes at the most: it goes soon after. */
const AT_ONCE = 100;

/** What {@link expireSessions} works with. */
export interface RetentionOptions {
  readonly sessions: Pick<PiSessions, "expireSessions">;
  readonly store: Pick<LeafStore, "removeSession">;
  /** Remove a session's workspace, with its files, unless it has a newer owner than `epoch` by then. */
  readonly deleteWorkspace: (workspace: string, epoch: bigint) => Promise<void>;
  /** A session that nothing was written to for so many milliseconds goes, unless a leaf of it is not over. */
  readonly idleMs: number;
  readonly log: Logger;
}

/**
 * Remove sessions that nobody has used for long: the conversation, the files in the sandbox, and what the leaf store knows of the session. Never
 * rejects: what could not be removed is logged, and tried again by a later brain if its conversation is still there.
 */
export async function expireSessions({ sessions, store, deleteWorkspace, idleMs, log }: RetentionOptions): Promise<void> {
  try {
    const expired = await sessions.expireSessions({ idleMs, limit: AT_ONCE });
    for (const key of expired) {
      const [tenant = "", sessionId = ""] = key.split("/");
      // Epochs are never older than the clock, so whoever claims the session from now on has a newer one.
      await deleteWorkspace(key, BigInt(Date.now())).catch((error: unknown) => {
        log.warn({ err: error, session: key }, "the workspace of a session that was removed could not be, and stays in the sandbox");
      });
      await store.removeSession(tenant, sessionId);
    }
    if (expired.length > 0) log.info({ removed: expired.length }, "sessions were idle for long enough");
  } catch (error) {
    log.warn({ err: error }, "sessions that were idle for long enough could not be removed");
  }
}
