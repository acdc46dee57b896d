import type { Failure, Gate, Leaf, LeafEvent, LeafMessage, Token, Tombstone, Worker } from "@serverless-harness/proto/leaf";
import type { ScheduleRecord } from "@serverless-harness/proto/store";
import type { AccountUse } from "../contract/accounts.ts";
import { storeClosed } from "../contract/errors.ts";
import type { Backlog, Claim, LeafQuery, LeafStore, NewEvent, NewLeaf, Outcome } from "../contract/leaf-store.ts";
import type { NewMessage, Wishes } from "../contract/messages.ts";
import type { ClaimedNotice, Notice, NoticeEnd } from "../contract/notices.ts";
import type { IdleSession, Retention } from "../contract/retention.ts";
import type { Sandboxes } from "../contract/sandboxes.ts";
import type { DueSchedules } from "../contract/schedules.ts";
import type { RedisAddress } from "../contract/store-url.ts";
import { withoutError } from "../contract/subscription.ts";
import type { TenantSettings } from "../contract/tenants.ts";
import type { Patience } from "../contract/wait-until-due.ts";
import type { NewDecision, NewGate, Wait } from "../contract/waiting.ts";
import { readAccount } from "./accounts.ts";
import { readBacklog } from "./backlog.ts";
import { cancelLeaf, redriveLeaf } from "./cancel.ts";
import { claimLeaf } from "./claim.ts";
import { Database } from "./database.ts";
import { leaveDuty, takeDuty } from "./duties.ts";
import { readEvents } from "./events.ts";
import { filesAreWritten, leavesWithFilesDue, putFilesOff } from "./files.ts";
import { followLeaf } from "./follow.ts";
import { decideGate, openGate } from "./gates.ts";
import { listLeaves } from "./list.ts";
import { listenTo, markDelivered, sendMessage } from "./messages.ts";
import { sessionName } from "./names.ts";
import { claimNotices, deadNotice, deadNotices, reviveNotice, settleNotice, waitForNotices } from "./notices.ts";
import { appendEvents, finishLeaf, prolongLease, releaseLeavesOf, retryLeaf } from "./outcome.ts";
import { endOverdueLeaves } from "./overdue.ts";
import { repairIndex } from "./repair.ts";
import { idleSessions, readTombstone, removeSession, sweepLeaves } from "./retention.ts";
import { RedisSandboxes } from "./sandboxes.ts";
import { createSchedule, deleteSchedule, dueSchedules, listSchedules, readClock, readSchedule, replaceSchedule } from "./schedules.ts";
import { runCommand } from "./scripts.ts";
import { Signals } from "./signals.ts";
import { readLeaf, submitLeaf } from "./submit.ts";
import { suspendLeaf, wakeLeaf } from "./suspend.ts";
import { readTenant, setTenant } from "./tenants.ts";
import { addToken, listTokens, revokeToken, tokenRevoked } from "./tokens.ts";
import { waitForIdle } from "./wait-for-idle.ts";
import { waitForReadyLeaf } from "./wait-for-work.ts";

/** How {@link RedisLeafStore.open} opens. */
export interface RedisLeafStoreOptions {
  /** The store's clock, milliseconds since the Unix epoch. Default: the server's own, which every process reads the same. */
  readonly now?: () => number;
  /** How often followers and waiting workers look for themselves, in case a signal was lost, in ms. Default 1000. */
  readonly fallbackMs?: number;
}

/** The leaf store in Redis, for any number of processes of any number of machines. */
export class RedisLeafStore implements LeafStore {
  readonly #database: Database;
  readonly #signals: Signals;
  readonly sandboxes: Sandboxes;
  #closed = false;

  /** Connect. Throws a ConfigError where the Redis can't be used. */
  static async open(address: RedisAddress, options: RedisLeafStoreOptions = {}): Promise<RedisLeafStore> {
    const store = new RedisLeafStore(await Database.open(address, options.now), options.fallbackMs);
    try {
      // A process that starts may be the first after a crash that left the index behind.
      await repairIndex(store.#database);
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(database: Database, fallbackMs: number | undefined) {
    this.#database = database;
    this.sandboxes = new RedisSandboxes(() => this.#opened());
    this.#signals = new Signals(database.client, fallbackMs);
  }

  async submit(leaf: NewLeaf): Promise<{ leaf: Leaf; created: boolean }> {
    return submitLeaf(this.#opened(), leaf);
  }

  async get(leafId: string): Promise<Leaf | undefined> {
    return readLeaf(this.#opened(), leafId);
  }

  async list(query: LeafQuery): Promise<{ leaves: Leaf[]; nextPageToken?: string }> {
    return listLeaves(this.#opened(), query);
  }

  async sessionExists(tenant: string, sessionId: string): Promise<boolean> {
    const { client, names } = this.#opened();
    const session = sessionName(tenant, sessionId);
    return (await runCommand(client, "exists", `${names.base(names.partitionOf(session))}:session:${session}`)) === 1;
  }

  async claim(worker: Worker, leaseMs: number): Promise<Claim | undefined> {
    return claimLeaf(this.#opened(), worker, leaseMs);
  }

  async heartbeat(claim: Claim, leaseMs: number): Promise<Wishes> {
    return prolongLease(this.#opened(), claim, leaseMs);
  }

  async append(claim: Claim, events: readonly NewEvent[]): Promise<void> {
    await appendEvents(this.#opened(), claim, events);
  }

  async finish(claim: Claim, outcome: Outcome, events: readonly NewEvent[]): Promise<void> {
    await finishLeaf(this.#opened(), claim, outcome, events);
  }

  async retry(claim: Claim, failure: Failure, notBeforeMs: number, events: readonly NewEvent[]): Promise<void> {
    await retryLeaf(this.#opened(), claim, failure, notBeforeMs, events);
  }

  async release(claim: Claim, note: string): Promise<void> {
    await suspendLeaf(this.#opened(), claim, {}, note, []);
  }

  async releaseWorker(workerName: string, note: string): Promise<number> {
    return releaseLeavesOf(this.#opened(), workerName, note);
  }

  async suspend(claim: Claim, wait: Wait, note: string, events: readonly NewEvent[]): Promise<void> {
    await suspendLeaf(this.#opened(), claim, wait, note, events);
  }

  async wake(leafId: string, wakeKey: string): Promise<boolean> {
    return wakeLeaf(this.#opened(), leafId, wakeKey);
  }

  async openGate(claim: Claim, gate: NewGate): Promise<Gate> {
    return openGate(this.#opened(), claim, gate);
  }

  async decide(leafId: string, gateId: string, decision: NewDecision): Promise<Gate> {
    return decideGate(this.#opened(), leafId, gateId, decision);
  }

  async send(leafId: string, message: NewMessage): Promise<LeafMessage> {
    return sendMessage(this.#opened(), leafId, message);
  }

  async delivered(claim: Claim, messageIds: readonly string[]): Promise<void> {
    await markDelivered(this.#opened(), claim, messageIds);
  }

  listen(leafId: string, signal: AbortSignal, onWish: () => void): void {
    void listenTo(this.#opened(), this.#signals, leafId, signal, onWish, () => this.#closed);
  }

  async cancel(leafId: string, requestedBy: string): Promise<Leaf> {
    return cancelLeaf(this.#opened(), leafId, requestedBy);
  }

  async redrive(leafId: string, fromStart: boolean): Promise<Leaf> {
    return redriveLeaf(this.#opened(), leafId, fromStart);
  }

  async endOverdue(graceMs: number, limit: number): Promise<number> {
    return endOverdueLeaves(this.#opened(), graceMs, limit);
  }

  async sweep(retention: Retention, limit: number): Promise<number> {
    return sweepLeaves(this.#opened(), retention, limit);
  }

  async tombstone(leafId: string): Promise<Tombstone | undefined> {
    return readTombstone(this.#opened(), leafId);
  }

  async idleSessions(idleMs: number, limit: number, skip: number): Promise<IdleSession[]> {
    return idleSessions(this.#opened(), idleMs, limit, skip);
  }

  async removeSession(session: IdleSession): Promise<boolean> {
    return removeSession(this.#opened(), session);
  }

  async accountUse(tenant: string, account: string): Promise<AccountUse> {
    return readAccount(this.#opened(), tenant, account);
  }

  async setTenant(tenant: string, settings: TenantSettings): Promise<void> {
    await setTenant(this.#opened(), tenant, settings);
  }

  async tenant(tenant: string): Promise<TenantSettings> {
    return readTenant(this.#opened(), tenant);
  }

  async addToken(token: Token): Promise<void> {
    await addToken(this.#opened(), token);
  }

  async listTokens(tenant: string | undefined, limit: number, pageToken?: string): Promise<{ tokens: Token[]; nextPageToken?: string }> {
    return listTokens(this.#opened(), tenant, limit, pageToken);
  }

  async revokeToken(tenant: string | undefined, tokenId: string, revokedBy: string): Promise<Token> {
    return revokeToken(this.#opened(), tenant, tokenId, revokedBy);
  }

  async tokenRevoked(tokenId: string): Promise<boolean> {
    return tokenRevoked(this.#opened(), tokenId);
  }

  async createSchedule(record: ScheduleRecord, mostOfTenant: number): Promise<{ record: ScheduleRecord; created: boolean }> {
    return createSchedule(this.#opened(), record, mostOfTenant);
  }

  async schedule(tenant: string, scheduleId: string): Promise<ScheduleRecord | undefined> {
    return readSchedule(this.#opened(), tenant, scheduleId);
  }

  async listSchedules(
    tenant: string | undefined,
    limit: number,
    pageToken?: string,
  ): Promise<{ schedules: ScheduleRecord[]; nextPageToken?: string }> {
    return listSchedules(this.#opened(), tenant, limit, pageToken);
  }

  async replaceSchedule(record: ScheduleRecord): Promise<ScheduleRecord | undefined> {
    return replaceSchedule(this.#opened(), record);
  }

  async deleteSchedule(record: ScheduleRecord): Promise<boolean> {
    return deleteSchedule(this.#opened(), record);
  }

  async dueSchedules(limit: number): Promise<DueSchedules> {
    return dueSchedules(this.#opened(), limit);
  }

  async nowMs(): Promise<number> {
    return readClock(this.#opened());
  }

  async events(leafId: string, afterSeq: bigint, limit: number): Promise<LeafEvent[]> {
    return readEvents(this.#opened(), leafId, afterSeq, limit);
  }

  follow(leafId: string, afterSeq: bigint, signal: AbortSignal): AsyncIterable<LeafEvent> {
    return followLeaf(this.#database, this.#signals, leafId, afterSeq, signal, () => this.#closed);
  }

  async backlog(): Promise<Backlog> {
    return readBacklog(this.#opened());
  }

  async waitForWork(timeoutMs: number, signal: AbortSignal): Promise<void> {
    await withoutError(waitForReadyLeaf(this.#database, this.#signals, this.#patience(timeoutMs, signal)));
  }

  async waitForIdle(timeoutMs: number, signal: AbortSignal): Promise<void> {
    await withoutError(waitForIdle(this.#database, this.#signals, this.#patience(timeoutMs, signal)));
  }

  async takeDuty(duty: string, holder: string, ttlMs: number): Promise<boolean> {
    return takeDuty(this.#opened(), duty, holder, ttlMs);
  }

  async leaveDuty(duty: string, holder: string): Promise<void> {
    await leaveDuty(this.#opened(), duty, holder);
  }

  async filesDue(limit: number): Promise<Leaf[]> {
    return leavesWithFilesDue(this.#opened(), limit);
  }

  async filesWritten(leafId: string, seq: bigint): Promise<void> {
    await filesAreWritten(this.#opened(), leafId, seq);
  }

  async filesPutOff(leafId: string): Promise<void> {
    await putFilesOff(this.#opened(), leafId);
  }

  async claimNotices(limit: number, skip: readonly string[], leaseMs: number): Promise<ClaimedNotice[]> {
    return claimNotices(this.#opened(), limit, skip, leaseMs);
  }

  async settleNotice(notice: ClaimedNotice, end: NoticeEnd): Promise<boolean> {
    return settleNotice(this.#opened(), notice, end);
  }

  async deadNotices(tenant: string, limit: number, pageToken?: string): Promise<{ notices: Notice[]; nextPageToken?: string }> {
    return deadNotices(this.#opened(), tenant, limit, pageToken);
  }

  async deadNotice(leafId: string, seq: bigint): Promise<Notice | undefined> {
    return deadNotice(this.#opened(), leafId, seq);
  }

  async reviveNotice(leafId: string, seq: bigint, note: string): Promise<boolean> {
    return reviveNotice(this.#opened(), leafId, seq, note);
  }

  async waitForNotices(skip: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
    await withoutError(waitForNotices(this.#database, this.#signals, skip, this.#patience(timeoutMs, signal)));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#signals.close();
    this.#database.close();
  }

  #patience(timeoutMs: number, signal: AbortSignal): Patience {
    return { timeoutMs, signal, isClosed: () => this.#closed };
  }

  #opened(): Database {
    if (this.#closed) throw storeClosed();
    this.#database.requireSame();
    return this.#database;
  }
}
