import {
  type ClaimedNotice,
  checkNoticeLimit,
  type Notice,
  type NoticeEnd,
  noticeOfPageToken,
  pageTokenOfNotice,
} from "../contract/notices.ts";
import { type WaitOptions, waitUntilDue } from "../contract/subscription.ts";
import type { Database } from "./database.ts";
import { encode } from "./names.ts";
import { callId, list, type Reply, text } from "./scripts.ts";
import type { Signals } from "./signals.ts";

/** Take notices that are due: from one partition after the other, beginning anywhere, so that none is left out for long. */
export async function claimNotices(database: Database, limit: number, skip: readonly string[], leaseMs: number): Promise<ClaimedNotice[]> {
  checkNoticeLimit(limit);
  const { partitions } = database.names;
  const first = Math.floor(Math.random() * partitions);
  const claimed: ClaimedNotice[] = [];
  for (let i = 0; i < partitions && claimed.length < limit; i++) {
    const token = callId();
    const others = [...skip, ...claimed.map(({ tenant }) => tenant)].map(encode);
    const taken = list(
      await database.run("claimNotices", (first + i) % partitions, limit - claimed.length, Math.ceil(leaseMs), token, ...others),
    );
    for (const each of taken) {
      const [tenant = "", leafId = "", seq = "", note = "", at = ""] = list(each).map(text);
      claimed.push({ tenant: decodeURIComponent(tenant), leafId, seq: BigInt(seq), note, token, claimedAtMs: Number(at) });
    }
  }
  return claimed;
}

/** Say what became of a notice. */
export async function settleNotice(database: Database, notice: ClaimedNotice, end: NoticeEnd): Promise<boolean> {
  const { tenant, leafId, seq, token } = notice;
  const partition = database.names.partitionOfLeaf(leafId);
  if (partition === undefined) return false;
  const note = end.kind === "done" ? "" : end.note;
  const due = end.kind === "later" ? Math.ceil(end.dueMs) : end.kind;
  return text(await database.run("settleNotice", partition, encode(tenant), leafId, seq, token, note, due)) === "1";
}

/** A page of a tenant's notices that were given up, of all partitions. */
export async function deadNotices(
  database: Database,
  tenant: string,
  limit: number,
  pageToken = "",
): Promise<{ notices: Notice[]; nextPageToken?: string }> {
  checkNoticeLimit(limit);
  const behind = pageToken === "" ? "" : nameOf(...noticeOfPageToken(pageToken, tenant));
  const pages = await Promise.all(
    database.names.all().map((partition) => database.run("deadNotices", partition, encode(tenant), limit + 1, behind)),
  );
  const found = pages.flatMap((page) => list(page).map((each) => list(each).map(text))).sort(([a = ""], [b = ""]) => (a < b ? 1 : -1));
  const notices = found.slice(0, limit).map(([name = "", note = ""]) => {
    const [leafId = "", place = "0"] = name.split(":");
    return { tenant, leafId, seq: BigInt(place), note };
  });
  const last = found.length > limit ? notices.at(-1) : undefined;
  return { notices, ...(last === undefined ? {} : { nextPageToken: pageTokenOfNotice(last) }) };
}

/** A notice that was given up. */
export async function deadNotice(database: Database, leafId: string, seq: bigint): Promise<Notice | undefined> {
  const [tenant, note] = list(await runOnDead(database, leafId, seq, "")).map(text);
  return tenant === undefined ? undefined : { tenant: decodeURIComponent(tenant), leafId, seq, note: note ?? "" };
}

/** Tell a notice again that was given up. */
export async function reviveNotice(database: Database, leafId: string, seq: bigint, note: string): Promise<boolean> {
  return list(await runOnDead(database, leafId, seq, "1", note)).length > 0;
}

/** Resolves when a notice of another tenant's than `skip` is due, at the latest after `timeoutMs`. */
export function waitForNotices(database: Database, signals: Signals, skip: readonly string[], options: WaitOptions): Promise<void> {
  // Each look asks every partition.
  return waitUntilDue(
    () => signals.subscribe(database.names.noticeChannel, true),
    () => untilNext(database, skip),
    options,
  );
}

async function untilNext(database: Database, skip: readonly string[]): Promise<number> {
  const others = skip.map(encode);
  const times = await Promise.all(database.names.all().map((partition) => database.run("nextNotice", partition, ...others)));
  return Math.min(...times.map(text).map((time) => (time === "" ? Number.POSITIVE_INFINITY : Number(time))));
}

async function runOnDead(database: Database, leafId: string, seq: bigint, ...args: readonly string[]): Promise<Reply> {
  const partition = database.names.partitionOfLeaf(leafId);
  return partition === undefined ? [] : await database.run("deadNotice", partition, leafId, seq, ...args);
}

/** A notice's name in keys: names are in the order of leaves and places. */
function nameOf(leafId: string, seq: number): string {
  return `${leafId}:${String(seq).padStart(10, "0")}`;
}
