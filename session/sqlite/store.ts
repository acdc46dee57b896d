import type { Claim, NewEvent } from "../contract/claim.ts";
import { storeClosed } from "../contract/errors.ts";
import { assertSameDecision } from "../contract/gates.ts";
import { checkEndOverdue } from "../contract/leaf.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import { assertSameMessage } from "../contract/messages.ts";
import { methodsOf } from "../contract/methods.ts";
import { checkNoticeLimit } from "../contract/notices.ts";
import { type WaitOptions, withoutError } from "../contract/subscription.ts";
import { readAccount } from "./accounts.ts";
import { readBacklog } from "./backlog.ts";
import { cancelLeaf, redriveLeaf } from "./cancel.ts";
import { Changes } from "./changes.ts";
import { claimLeaf, hasReadyLeaf } from "./claim.ts";
import { Connection } from "./connection.ts";
import { openDatabase } from "./database.ts";
import { requireSameFile } from "./database-file.ts";
import { leaveDuty, takeDuty } from "./duties.ts";
import { appendEvents, readEvents } from "./events.ts";
import { filesAreWritten, leavesWithFilesDue, putFilesOff } from "./files.ts";
import { followLeaf } from "./follow.ts";
import { openGate } from "./gates.ts";
import { listLeaves } from "./list.ts";
import { listenTo, markDelivered, sendMessage } from "./messages.ts";
import { claimNotices, deadNotice, deadNotices, hasDueNotice, reviveNotice, settleNotice, waitForNotices } from "./notices.ts";
import { endOverdueLeaves, finishLeaf, hasOverdueLeaf, releaseLeaf, releaseLeavesOf, retryLeaf } from "./outcome.ts";
import { prolongLease, requireOwner } from "./ownership.ts";
import { readLeaf } from "./records.ts";
import { SqliteSandboxes } from "./sandboxes.ts";
import { createSchedule, deleteSchedule, dueSchedules, listSchedules, readSchedule, replaceSchedule } from "./schedules.ts";
import { idleSessions, removeSession, sessionExists } from "./sessions.ts";
import { SignalFile } from "./signal-file.ts";
import { submitLeaf } from "./submit.ts";
import { readTombstone, sweepInSteps } from "./sweep.ts";
import { readTenant, writeTenant } from "./tenants.ts";
import { addToken, listTokens, revokeToken, tokenRevoked } from "./tokens.ts";
import { waitForIdle, waitForReadyLeaf } from "./wait-for-work.ts";
import { decideGate, rouseSession, suspendLeaf, wakeLeaf } from "./waits.ts";

/** How {@link openSqliteLeafStore} opens. */
export interface SqliteLeafStoreOptions {
  /** The store's clock, milliseconds since the Unix epoch. Default `Date.now`: every process of one machine reads the same. */
  readonly now?: () => number;
  /** How often followers and waiting workers look for themselves, in case a signal of another process was lost, in ms. Default 1000. */
  readonly fallbackMs?: number;
}

/** The leaf store in one SQLite file, for any number of processes of one machine. */
export interface SqliteLeafStore extends LeafStore {
  /** The store holds a watch on the database: somebody of this process follows a leaf or waits for work. */
  readonly watching: boolean;
}

/** They read, without a transaction of their own. */
const READS = {
  get: readLeaf,
  list: listLeaves,
  sessionExists,
  events: readEvents,
  schedule: readSchedule,
  listSchedules,
  tombstone: readTombstone,
  tenant: readTenant,
  tokenRevoked,
  filesDue: leavesWithFilesDue,
  deadNotices,
  deadNotice,
};

/** The same, by the store's clock. */
const READS_BY_CLOCK = { dueSchedules, accountUse: readAccount, listTokens, backlog: readBacklog, idleSessions };

/** Each is one transaction, after which everybody who listens looks. */
const CHANGES = {
  submit: submitLeaf,
  append: (connection: Connection, nowMs: number, claim: Claim, events: readonly NewEvent[]) =>
    appendEvents(connection, requireOwner(connection, claim).n, nowMs, events),
  finish: finishLeaf,
  retry: retryLeaf,
  release: releaseLeaf,
  releaseWorker: releaseLeavesOf,
  suspend: suspendLeaf,
  wake: wakeLeaf,
  rouse: rouseSession,
  openGate,
  delivered: markDelivered,
  cancel: cancelLeaf,
  redrive: redriveLeaf,
  createSchedule,
  replaceSchedule: withoutClock(replaceSchedule),
  deleteSchedule: withoutClock(deleteSchedule),
  removeSession: withoutClock(removeSession),
  setTenant: withoutClock(writeTenant),
  addToken,
  revokeToken,
  settleNotice,
  reviveNotice,
};

/** Each is one transaction that makes nothing ready and appends nothing, so nobody is told. */
const QUIET_CHANGES = {
  heartbeat: prolongLease,
  takeDuty,
  leaveDuty: withoutClock(leaveDuty),
  filesWritten: withoutClock(filesAreWritten),
  filesPutOff: putFilesOff,
};

/** Open the database at an absolute path, and make it if it is absent. Throws a ConfigError if it can't be used. */
export function openSqliteLeafStore(path: string, { now = Date.now, fallbackMs }: SqliteLeafStoreOptions = {}): SqliteLeafStore {
  const connection = new Connection(openDatabase(path));
  try {
    const signal = new SignalFile(path);
    return storeOn(connection, signal, new Changes(connection, signal, fallbackMs), now);
  } catch (error) {
    connection.close();
    throw error;
  }
}

type TimedOperation = (connection: Connection, nowMs: number) => unknown;

function storeOn(connection: Connection, signal: SignalFile, changes: Changes, now: () => number): SqliteLeafStore {
  let closed = false;
  const isClosed = (): boolean => closed;
  const opened = (): Connection => {
    if (closed) throw storeClosed();
    requireSameFile(connection.db);
    return connection;
  };
  // The time is read under the write lock, so that times in the log never run backwards by a wait for it.
  const inTransaction = <T>(work: (connection: Connection, nowMs: number) => T): T => opened().transaction(() => work(connection, now()));
  const change = <T>(work: (connection: Connection, nowMs: number) => T): T => {
    const result = inTransaction(work);
    changes.committed();
    return result;
  };
  const options = (timeoutMs: number, signal: AbortSignal): WaitOptions => ({ timeoutMs, signal, isClosed });
  return {
    sandboxes: new SqliteSandboxes(opened, now),
    ...methodsOf(READS, (read: (connection: Connection) => unknown) => read(opened())),
    ...methodsOf(READS_BY_CLOCK, (read: TimedOperation) => read(opened(), now())),
    ...methodsOf(CHANGES, (operation: TimedOperation) => change(operation)),
    ...methodsOf(QUIET_CHANGES, (operation: TimedOperation) => inTransaction(operation)),
    async claim(worker, leaseMs) {
      // An idle worker that looks for work takes no write lock away from those that do some.
      if (!hasReadyLeaf(opened(), now())) return undefined;
      return change((connection, nowMs) => claimLeaf(connection, nowMs, worker, leaseMs));
    },
    async decide(leafId, gateId, decision) {
      const gate = change((connection, nowMs) => decideGate(connection, nowMs, leafId, gateId, decision));
      if (gate.decision !== undefined) assertSameDecision(gate.decision, decision);
      return gate;
    },
    async send(leafId, message) {
      const sent = change((connection, nowMs) => sendMessage(connection, nowMs, leafId, message));
      assertSameMessage(sent, message);
      return sent;
    },
    async endOverdue(graceMs, limit) {
      checkEndOverdue(graceMs, limit);
      // Who looks every second takes no write lock away from those that work.
      if (!hasOverdueLeaf(opened(), now(), graceMs)) return 0;
      return change((connection, nowMs) => endOverdueLeaves(connection, nowMs, graceMs, limit));
    },
    async claimNotices(limit, skip, leaseMs) {
      checkNoticeLimit(limit);
      if (!hasDueNotice(opened(), now(), skip)) return [];
      return inTransaction((connection, nowMs) => claimNotices(connection, nowMs, limit, skip, leaseMs));
    },
    sweep: async (retention, limit) => sweepInSteps(change, retention, limit),
    nowMs: async () => Math.floor(now()),
    listen: (leafId, signal, onWish) => void listenTo(opened(), changes, leafId, signal, onWish, isClosed),
    follow: (leafId, afterSeq, signal) => followLeaf(connection, changes, leafId, afterSeq, signal, isClosed),
    waitForWork: (timeoutMs, signal) => withoutError(waitForReadyLeaf(connection, changes, now, options(timeoutMs, signal))),
    waitForIdle: (timeoutMs, signal) => withoutError(waitForIdle(connection, changes, now, options(timeoutMs, signal))),
    waitForNotices: (skip, timeoutMs, signal) => withoutError(waitForNotices(connection, changes, now, skip, options(timeoutMs, signal))),
    async close() {
      if (closed) return;
      closed = true;
      changes.close();
      signal.close();
      connection.close();
    },
    get watching() {
      return changes.active;
    },
  };
}

/** An operation that does not look at the clock. */
function withoutClock<Args extends unknown[], Result>(operation: (connection: Connection, ...args: Args) => Result) {
  return (connection: Connection, _nowMs: number, ...args: Args): Result => operation(connection, ...args);
}
