import { storeClosed } from "../contract/errors.ts";
import type { LeafStore } from "../contract/leaf-store.ts";
import { methodsOf } from "../contract/methods.ts";
import type { RedisAddress } from "../contract/store-url.ts";
import { type WaitOptions, withoutError } from "../contract/subscription.ts";
import { readAccount } from "./accounts.ts";
import { readBacklog } from "./backlog.ts";
import { cancelLeaf, redriveLeaf } from "./cancel.ts";
import { claimLeaf } from "./claim.ts";
import { Database } from "./database.ts";
import { leaveDuty, takeDuty } from "./duties.ts";
import { readEvents } from "./events.ts";
import { filesAreWritten, leavesWithFilesDue, putFilesOff } from "./files.ts";
import { followLeaf } from "./follow.ts";
import { listLeaves } from "./list.ts";
import { listenTo, markDelivered, sendMessage } from "./messages.ts";
import { claimNotices, deadNotice, deadNotices, reviveNotice, settleNotice, waitForNotices } from "./notices.ts";
import { appendEvents, endOverdueLeaves, finishLeaf, prolongLease, releaseLeavesOf, retryLeaf } from "./outcome.ts";
import { repairIndex } from "./repair.ts";
import { idleSessions, readTombstone, removeSession, sessionExists, sweepLeaves } from "./retention.ts";
import { RedisSandboxes } from "./sandboxes.ts";
import { createSchedule, deleteSchedule, dueSchedules, listSchedules, readClock, readSchedule, replaceSchedule } from "./schedules.ts";
import { Signals } from "./signals.ts";
import { readLeaf, submitLeaf } from "./submit.ts";
import { readTenant, setTenant } from "./tenants.ts";
import { addToken, listTokens, revokeToken, tokenRevoked } from "./tokens.ts";
import { waitForIdle, waitForReadyLeaf } from "./wait-for-work.ts";
import { decideGate, openGate, releaseLeaf, rouseSession, suspendLeaf, wakeLeaf } from "./waits.ts";

/** How {@link openRedisLeafStore} opens. */
export interface RedisLeafStoreOptions {
  /** The store's clock, milliseconds since the Unix epoch. Default: the server's own, which every process reads the same. */
  readonly now?: () => number;
  /** How often followers and waiting workers look for themselves, in case a signal was lost, in ms. Default 1000. */
  readonly fallbackMs?: number;
}

const OPERATIONS = {
  submit: submitLeaf,
  get: readLeaf,
  list: listLeaves,
  sessionExists,
  claim: claimLeaf,
  heartbeat: prolongLease,
  append: appendEvents,
  finish: finishLeaf,
  retry: retryLeaf,
  release: releaseLeaf,
  releaseWorker: releaseLeavesOf,
  suspend: suspendLeaf,
  wake: wakeLeaf,
  rouse: rouseSession,
  openGate,
  decide: decideGate,
  send: sendMessage,
  delivered: markDelivered,
  cancel: cancelLeaf,
  redrive: redriveLeaf,
  endOverdue: endOverdueLeaves,
  sweep: sweepLeaves,
  tombstone: readTombstone,
  idleSessions,
  removeSession,
  accountUse: readAccount,
  setTenant,
  tenant: readTenant,
  addToken,
  listTokens,
  revokeToken,
  tokenRevoked,
  createSchedule,
  schedule: readSchedule,
  listSchedules,
  replaceSchedule,
  deleteSchedule,
  dueSchedules,
  nowMs: readClock,
  events: readEvents,
  backlog: readBacklog,
  takeDuty,
  leaveDuty,
  filesDue: leavesWithFilesDue,
  filesWritten: filesAreWritten,
  filesPutOff: putFilesOff,
  claimNotices,
  settleNotice,
  deadNotices,
  deadNotice,
  reviveNotice,
};

/** Connect to the leaf store in Redis, for any number of processes of any number of machines. Throws a ConfigError if the Redis can't be used. */
export async function openRedisLeafStore(address: RedisAddress, options: RedisLeafStoreOptions = {}): Promise<LeafStore> {
  const database = await Database.open(address, options.now);
  const store = storeIn(database, new Signals(database.client, options.fallbackMs));
  try {
    // A process that starts may be the first after a crash that left the index behind.
    await repairIndex(database);
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function storeIn(database: Database, signals: Signals): LeafStore {
  let closed = false;
  const isClosed = (): boolean => closed;
  const opened = (): Database => {
    if (closed) throw storeClosed();
    database.requireSame();
    return database;
  };
  const options = (timeoutMs: number, signal: AbortSignal): WaitOptions => ({ timeoutMs, signal, isClosed });
  return {
    sandboxes: new RedisSandboxes(opened),
    ...methodsOf(OPERATIONS, (operation: (database: Database) => unknown) => operation(opened())),
    listen: (leafId, signal, onWish) => void listenTo(opened(), signals, leafId, signal, onWish, isClosed),
    follow: (leafId, afterSeq, signal) => followLeaf(database, signals, leafId, afterSeq, signal, isClosed),
    waitForWork: (timeoutMs, signal) => withoutError(waitForReadyLeaf(database, signals, options(timeoutMs, signal))),
    waitForIdle: (timeoutMs, signal) => withoutError(waitForIdle(database, signals, options(timeoutMs, signal))),
    waitForNotices: (skip, timeoutMs, signal) => withoutError(waitForNotices(database, signals, skip, options(timeoutMs, signal))),
    async close() {
      if (closed) return;
      closed = true;
      signals.close();
      database.close();
    },
  };
}
