import type { Failure, Gate, Leaf, LeafEvent, LeafMessage, Token, Tombstone, Worker } from "@serverless-harness/proto/leaf";
import type { ScheduleRecord } from "@serverless-harness/proto/store";
import type { AccountUse } from "../contract/accounts.ts";
import { storeClosed } from "../contract/errors.ts";
import { checkFilesDue } from "../contract/files.ts";
import { assertSameDecision } from "../contract/gate-rules.ts";
import { checkEndOverdue } from "../contract/leaf-deadline.ts";
import type { Backlog, Claim, LeafQuery, LeafStore, NewEvent, NewLeaf, Outcome } from "../contract/leaf-store.ts";
import { assertSameMessage } from "../contract/message-rules.ts";
import type { NewMessage, Wishes } from "../contract/messages.ts";
import { checkNoticeLimit } from "../contract/notice-rules.ts";
import type { ClaimedNotice, Notice, NoticeEnd } from "../contract/notices.ts";
import type { IdleSession, Retention } from "../contract/retention.ts";
import { checkIdle } from "../contract/retention-rules.ts";
import type { Sandboxes } from "../contract/sandboxes.ts";
import type { DueSchedules } from "../contract/schedules.ts";
import { withoutError } from "../contract/subscription.ts";
import type { TenantSettings } from "../contract/tenants.ts";
import type { Patience } from "../contract/wait-until-due.ts";
import type { NewDecision, NewGate, Wait } from "../contract/waiting.ts";
import { readAccount } from "./accounts.ts";
import { readBacklog } from "./backlog.ts";
import { cancelLeaf } from "./cancel.ts";
import { Changes } from "./changes.ts";
import { claimLeaf, hasReadyLeaf } from "./claim.ts";
import { Connection } from "./connection.ts";
import { openDatabase } from "./database.ts";
import { requireSameFile } from "./database-file.ts";
import { decideGate } from "./decide.ts";
import { leaveDuty, takeDuty } from "./duties.ts";
import { appendEvents, readEvents } from "./events.ts";
import { filesAreWritten, leavesWithFilesDue, putFilesOff } from "./files.ts";
import { followLeaf } from "./follow.ts";
import { openGate } from "./gates.ts";
import { listLeaves } from "./list.ts";
import { listenTo } from "./listen.ts";
import { markDelivered, sendMessage } from "./messages.ts";
import { claimNotices, deadNotice, deadNotices, hasDueNotice, reviveNotice, settleNotice, waitForNotices } from "./notices.ts";
import { finishLeaf, releaseLeaf, releaseLeavesOf, retryLeaf } from "./outcome.ts";
import { endOverdueLeaves, hasOverdueLeaf } from "./overdue.ts";
import { prolongLease, requireOwner } from "./ownership.ts";
import { readLeaf } from "./records.ts";
import { redriveLeaf } from "./redrive.ts";
import { SqliteSandboxes } from "./sandboxes.ts";
import { createSchedule, deleteSchedule, dueSchedules, listSchedules, readSchedule, replaceSchedule } from "./schedules.ts";
import { idleSessions, removeSession, sessionExists } from "./sessions.ts";
import { SignalFile } from "./signal-file.ts";
import { submitLeaf } from "./submit.ts";
import { readTombstone, sweepInSteps } from "./sweep.ts";
import { readTenant, writeTenant } from "./tenants.ts";
import { addToken, listTokens, revokeToken, tokenRevoked } from "./tokens.ts";
import { waitForIdle } from "./wait-for-idle.ts";
import { waitForReadyLeaf } from "./wait-for-work.ts";
import { suspendLeaf } from "./waits.ts";
import { wakeLeaf } from "./wake.ts";

/** How {@link SqliteLeafStore.open} opens. */
export interface SqliteLeafStoreOptions {
  /** The store's clock, milliseconds since the Unix epoch. Default `Date.now`: every process of one machine reads the same. */
  readonly now?: () => number;
  /** How often followers and waiting workers look for themselves, in case a signal of another process was lost, in ms. Default 1000. */
  readonly fallbackMs?: number;
}

/** The leaf store in one SQLite file, for any number of processes of one machine. */
export class SqliteLeafStore implements LeafStore {
  readonly #connection: Connection;
  readonly #signal: SignalFile;
  readonly #changes: Changes;
  readonly #now: () => number;
  readonly sandboxes: Sandboxes;
  #closed = false;

  /** Open the database at an absolute path, making it where it is absent. Throws a ConfigError where it can't be used. */
  static open(path: string, options: SqliteLeafStoreOptions = {}): SqliteLeafStore {
    const connection = new Connection(openDatabase(path));
    try {
      const signal = new SignalFile(path);
      return new SqliteLeafStore(connection, signal, new Changes(connection, signal, options.fallbackMs), options.now ?? Date.now);
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  private constructor(connection: Connection, signal: SignalFile, changes: Changes, now: () => number) {
    this.#connection = connection;
    this.#signal = signal;
    this.#changes = changes;
    this.#now = now;
    this.sandboxes = new SqliteSandboxes(() => this.#opened(), now);
  }

  async submit(leaf: NewLeaf): Promise<{ leaf: Leaf; created: boolean }> {
    return this.#change((nowMs) => submitLeaf(this.#connection, nowMs, leaf));
  }

  async get(leafId: string): Promise<Leaf | undefined> {
    return readLeaf(this.#opened(), leafId);
  }

  async list(query: LeafQuery): Promise<{ leaves: Leaf[]; nextPageToken?: string }> {
    return listLeaves(this.#opened(), query);
  }

  async sessionExists(tenant: string, sessionId: string): Promise<boolean> {
    return sessionExists(this.#opened(), tenant, sessionId);
  }

  async claim(worker: Worker, leaseMs: number): Promise<Claim | undefined> {
    // An idle worker that looks for work takes no write lock away from those that do some.
    if (!hasReadyLeaf(this.#opened(), this.#now())) return undefined;
    return this.#change((nowMs) => claimLeaf(this.#connection, nowMs, worker, leaseMs));
  }

  async heartbeat(claim: Claim, leaseMs: number): Promise<Wishes> {
    // It makes nothing ready and appends nothing, so nobody is told.
    return this.#opened().transaction(() => prolongLease(this.#connection, this.#now(), claim, leaseMs));
  }

  async append(claim: Claim, events: readonly NewEvent[]): Promise<void> {
    this.#change((nowMs) => appendEvents(this.#connection, requireOwner(this.#connection, claim).n, nowMs, events));
  }

  async finish(claim: Claim, outcome: Outcome, events: readonly NewEvent[]): Promise<void> {
    this.#change((nowMs) => finishLeaf(this.#connection, nowMs, claim, outcome, events));
  }

  async retry(claim: Claim, failure: Failure, notBeforeMs: number, events: readonly NewEvent[]): Promise<void> {
    this.#change((nowMs) => retryLeaf(this.#connection, nowMs, claim, failure, notBeforeMs, events));
  }

  async release(claim: Claim, note: string): Promise<void> {
    this.#change((nowMs) => releaseLeaf(this.#connection, nowMs, claim, note));
  }

  async releaseWorker(workerName: string, note: string): Promise<number> {
    return this.#change((nowMs) => releaseLeavesOf(this.#connection, nowMs, workerName, note));
  }

  async suspend(claim: Claim, wait: Wait, note: string, events: readonly NewEvent[]): Promise<void> {
    this.#change((nowMs) => suspendLeaf(this.#connection, nowMs, claim, wait, note, events));
  }

  async wake(leafId: string, wakeKey: string): Promise<boolean> {
    return this.#change((nowMs) => wakeLeaf(this.#connection, nowMs, leafId, wakeKey));
  }

  async openGate(claim: Claim, gate: NewGate): Promise<Gate> {
    return this.#change((nowMs) => openGate(this.#connection, nowMs, claim, gate));
  }

  async decide(leafId: string, gateId: string, decision: NewDecision): Promise<Gate> {
    const gate = this.#change((nowMs) => decideGate(this.#connection, nowMs, leafId, gateId, decision));
    if (gate.decision !== undefined) assertSameDecision(gate.decision, decision);
    return gate;
  }

  async send(leafId: string, message: NewMessage): Promise<LeafMessage> {
    const sent = this.#change((nowMs) => sendMessage(this.#connection, nowMs, leafId, message));
    assertSameMessage(sent, message);
    return sent;
  }

  async delivered(claim: Claim, messageIds: readonly string[]): Promise<void> {
    this.#change((nowMs) => markDelivered(this.#connection, nowMs, claim, messageIds));
  }

  listen(leafId: string, signal: AbortSignal, onWish: () => void): void {
    void listenTo(this.#opened(), this.#changes, leafId, signal, onWish, () => this.#closed);
  }

  async cancel(leafId: string, requestedBy: string): Promise<Leaf> {
    return this.#change((nowMs) => cancelLeaf(this.#connection, nowMs, leafId, requestedBy));
  }

  async endOverdue(graceMs: number, limit: number): Promise<number> {
    checkEndOverdue(graceMs, limit);
    // Who looks every second takes no write lock away from those that work.
    if (!hasOverdueLeaf(this.#opened(), this.#now(), graceMs)) return 0;
    return this.#change((nowMs) => endOverdueLeaves(this.#connection, nowMs, graceMs, limit));
  }

  async redrive(leafId: string, fromStart: boolean): Promise<Leaf> {
    return this.#change((nowMs) => redriveLeaf(this.#connection, nowMs, leafId, fromStart));
  }

  async createSchedule(record: ScheduleRecord, mostOfTenant: number): Promise<{ record: ScheduleRecord; created: boolean }> {
    return this.#change((nowMs) => createSchedule(this.#connection, nowMs, record, mostOfTenant));
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
    return this.#change(() => replaceSchedule(this.#connection, record));
  }

  async deleteSchedule(record: ScheduleRecord): Promise<boolean> {
    return this.#change(() => deleteSchedule(this.#connection, record));
  }

  async dueSchedules(limit: number): Promise<DueSchedules> {
    return dueSchedules(this.#opened(), this.#now(), limit);
  }

  async nowMs(): Promise<number> {
    return Math.floor(this.#now());
  }

  async sweep(retention: Retention, limit: number): Promise<number> {
    return sweepInSteps((work) => this.#change((nowMs) => work(this.#connection, nowMs)), retention, limit);
  }

  async tombstone(leafId: string): Promise<Tombstone | undefined> {
    return readTombstone(this.#opened(), leafId);
  }

  async idleSessions(idleMs: number, limit: number, skip: number): Promise<IdleSession[]> {
    checkIdle(idleMs, limit, skip);
    return idleSessions(this.#opened(), this.#now() - idleMs, limit, skip);
  }

  async removeSession(session: IdleSession): Promise<boolean> {
    return this.#change(() => removeSession(this.#connection, session));
  }

  async accountUse(tenant: string, account: string): Promise<AccountUse> {
    return readAccount(this.#opened(), this.#now(), tenant, account);
  }

  async setTenant(tenant: string, settings: TenantSettings): Promise<void> {
    this.#change(() => writeTenant(this.#connection, tenant, settings));
  }

  async tenant(tenant: string): Promise<TenantSettings> {
    return readTenant(this.#opened(), tenant);
  }

  async addToken(token: Token): Promise<void> {
    this.#change((nowMs) => addToken(this.#connection, nowMs, token));
  }

  async listTokens(tenant: string | undefined, limit: number, pageToken?: string): Promise<{ tokens: Token[]; nextPageToken?: string }> {
    return listTokens(this.#opened(), this.#now(), tenant, limit, pageToken);
  }

  async revokeToken(tenant: string | undefined, tokenId: string, revokedBy: string): Promise<Token> {
    return this.#change((nowMs) => revokeToken(this.#connection, nowMs, tenant, tokenId, revokedBy));
  }

  async tokenRevoked(tokenId: string): Promise<boolean> {
    return tokenRevoked(this.#opened(), tokenId);
  }

  async events(leafId: string, afterSeq: bigint, limit: number): Promise<LeafEvent[]> {
    return readEvents(this.#opened(), leafId, afterSeq, limit);
  }

  follow(leafId: string, afterSeq: bigint, signal: AbortSignal): AsyncIterable<LeafEvent> {
    return followLeaf(this.#connection, this.#changes, leafId, afterSeq, signal, () => this.#closed);
  }

  async backlog(): Promise<Backlog> {
    return readBacklog(this.#opened(), this.#now());
  }

  async waitForWork(timeoutMs: number, signal: AbortSignal): Promise<void> {
    await withoutError(waitForReadyLeaf(this.#connection, this.#changes, this.#now, this.#patience(timeoutMs, signal)));
  }

  async waitForIdle(timeoutMs: number, signal: AbortSignal): Promise<void> {
    await withoutError(waitForIdle(this.#connection, this.#changes, this.#now, this.#patience(timeoutMs, signal)));
  }

  async takeDuty(duty: string, holder: string, ttlMs: number): Promise<boolean> {
    // It concerns no leaf, so nobody is told.
    return this.#opened().transaction(() => takeDuty(this.#connection, this.#now(), duty, holder, ttlMs));
  }

  async leaveDuty(duty: string, holder: string): Promise<void> {
    this.#opened().transaction(() => leaveDuty(this.#connection, duty, holder));
  }

  async filesDue(limit: number): Promise<Leaf[]> {
    checkFilesDue(limit);
    return leavesWithFilesDue(this.#opened(), limit);
  }

  async filesWritten(leafId: string, seq: bigint): Promise<void> {
    this.#opened().transaction(() => filesAreWritten(this.#connection, leafId, seq));
  }

  async filesPutOff(leafId: string): Promise<void> {
    this.#opened().transaction(() => putFilesOff(this.#connection, this.#now(), leafId));
  }

  async claimNotices(limit: number, skip: readonly string[], leaseMs: number): Promise<ClaimedNotice[]> {
    checkNoticeLimit(limit);
    if (!hasDueNotice(this.#opened(), this.#now(), skip)) return [];
    return this.#opened().transaction(() => claimNotices(this.#connection, this.#now(), limit, skip, leaseMs));
  }

  async settleNotice(notice: ClaimedNotice, end: NoticeEnd): Promise<boolean> {
    return this.#change((nowMs) => settleNotice(this.#connection, nowMs, notice, end));
  }

  async deadNotices(tenant: string, limit: number, pageToken?: string): Promise<{ notices: Notice[]; nextPageToken?: string }> {
    return deadNotices(this.#opened(), tenant, limit, pageToken);
  }

  async deadNotice(leafId: string, seq: bigint): Promise<Notice | undefined> {
    return deadNotice(this.#opened(), leafId, seq);
  }

  async reviveNotice(leafId: string, seq: bigint, note: string): Promise<boolean> {
    return this.#change((nowMs) => reviveNotice(this.#connection, nowMs, leafId, seq, note));
  }

  async waitForNotices(skip: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<void> {
    await withoutError(waitForNotices(this.#connection, this.#changes, this.#now, skip, this.#patience(timeoutMs, signal)));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#changes.close();
    this.#signal.close();
    this.#connection.close();
  }

  /** A watch on the database is held: somebody of this process follows a leaf or waits for work. */
  get watching(): boolean {
    return this.#changes.active;
  }

  #patience(timeoutMs: number, signal: AbortSignal): Patience {
    return { timeoutMs, signal, isClosed: () => this.#closed };
  }

  #opened(): Connection {
    if (this.#closed) throw storeClosed();
    requireSameFile(this.#connection.db);
    return this.#connection;
  }

  #change<T>(work: (nowMs: number) => T): T {
    // The time is read under the write lock, so that times in the log never run backwards by a wait for it.
    const result = this.#opened().transaction(() => work(this.#now()));
    this.#changes.committed();
    return result;
  }
}
