import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Conversations } from "@serverless-harness/pi-fork/conversations";
import { type IdleSession, type LeafStore, sessionKey } from "@serverless-harness/session";
import type { Sandbox } from "./sandbox/sandbox.ts";

/** Sessions that are removed side by side. */
const AT_ONCE = 8;

/** What {@link SessionRetention} works with. */
export interface SessionRetentionOptions {
  readonly store: Pick<LeafStore, "idleSessions" | "removeSession">;
  /** Opened with the first session that is to be removed. */
  readonly openConversations: () => Promise<Conversations>;
  readonly sandbox: Pick<Sandbox, "deleteWorkspace">;
  /** A session goes when it has no leaf any more and its last owner came so many milliseconds ago. */
  readonly keepMs: number;
  readonly log: Logger;
}

/**
 * Removes sessions that nobody has used for long: conversation, workspace, snapshots, and last what the leaf store knows. Until that is gone the session
 * stays listed as idle, so what fails, and what a kill interrupts, is done again: each part may be removed twice. The conversation goes first, in one step
 * with the look whether the session is still idle: one that gets a leaf meanwhile either keeps everything or begins from nothing.
 */
export class SessionRetention {
  readonly #options: SessionRetentionOptions;
  #conversations: Promise<Conversations> | undefined;
  /** Sessions whose trouble was told: once, not with each try. */
  readonly #told = new Set<string>();

  constructor(options: SessionRetentionOptions) {
    this.#options = options;
  }

  /** Remove all that are idle now. Rejects where the store or the sandbox is away: all that is left is for the next time. */
  async removeIdle(signal: AbortSignal): Promise<void> {
    const { store, keepMs, log } = this.#options;
    let removed = 0;
    let kept = 0;
    try {
      while (!signal.aborted) {
        const idle = await store.idleSessions(keepMs, AT_ONCE, kept);
        if (idle.length === 0) break;
        const ends = await Promise.allSettled(idle.map((session) => this.#remove(session, signal)));
        for (const end of ends) if (end.status === "rejected") throw end.reason;
        const gone = ends.filter((end) => end.status === "fulfilled" && end.value).length;
        removed += gone;
        kept += idle.length - gone;
      }
    } finally {
      if (removed > 0) log.info({ removed }, "sessions were idle for long enough");
    }
  }

  /** Let go of the conversations. */
  async close(): Promise<void> {
    const conversations = await this.#conversations?.catch(() => undefined);
    conversations?.close();
  }

  /** False: it is in use again, or something of it can't be removed. */
  async #remove(session: IdleSession, signal: AbortSignal): Promise<boolean> {
    const { store, sandbox, keepMs, log } = this.#options;
    const name = sessionKey(session);
    const conversations = await this.#open();
    if (!(await conversations.remove(session))) return false;
    // Not the session's own epoch: a failover may have lost a claim of which the sandbox knows. Whoever comes from now on has a newer one than this.
    const longAgo = BigInt(Math.floor(Date.now() - keepMs));
    try {
      await sandbox.deleteWorkspace(name, longAgo > session.epoch ? longAgo : session.epoch, signal);
    } catch (error) {
      if (!(error instanceof HarnessError) || error.code === Code.Unavailable || error.code === Code.Canceled) throw error;
      if (error.reason !== "stale_epoch" && !this.#told.has(name)) {
        log.warn({ err: error, session: name }, "the workspace of a session that is to be removed can't be: it is tried again");
        this.#told.add(name);
      }
      return false;
    }
    this.#told.delete(name);
    return store.removeSession(session);
  }

  #open(): Promise<Conversations> {
    this.#conversations ??= this.#options.openConversations().catch((error: unknown) => {
      // The next one tries again.
      this.#conversations = undefined;
      throw error;
    });
    return this.#conversations;
  }
}
