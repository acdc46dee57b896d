import { Validation } from "@serverless-harness/kit/validate";
import { pageTokenOfPair, pairOfPageToken } from "./page-token.ts";

/** An event of a leaf that somebody outside is to be told of: a gate was opened, or the leaf ended. */
export interface Notice {
  readonly tenant: string;
  readonly leafId: string;
  /** The event's place in the leaf's log. */
  readonly seq: bigint;
  /** What was noted of it so far, for whoever tells it; empty at first. */
  readonly note: string;
}

/** A notice that is being told, by who claimed it and nobody else until the claim's time is over. */
export interface ClaimedNotice extends Notice {
  /** Names the claim. */
  readonly token: string;
  /** When it was claimed, milliseconds since the Unix epoch, by the store's clock. */
  readonly claimedAtMs: number;
}

/** What becomes of a notice: told again at a time (milliseconds since the Unix epoch, by the store's clock), done and forgotten, or given up and kept. */
export type NoticeEnd =
  | { readonly kind: "later"; readonly note: string; readonly dueMs: number }
  | { readonly kind: "done" }
  | { readonly kind: "dead"; readonly note: string };

/**
 * The outbox. A notice is written in the same step as its event, for leaves that were submitted with `notify`, and stays until somebody says what became
 * of it or its leaf is removed: whoever is killed in between leaves it to the next one.
 */
export interface Notices {
  /**
   * Take notices that are due for `leaseMs`, at most `limit` (1 to 1000) and one of each tenant, the longest due first; none of the tenants in `skip`.
   */
  claimNotices(limit: number, skip: readonly string[], leaseMs: number): Promise<ClaimedNotice[]>;
  /** Say what became of a notice. False, and nothing is changed, if the claim is not the newest one any more. */
  settleNotice(notice: ClaimedNotice, end: NoticeEnd): Promise<boolean>;
  /** Notices of a tenant that were given up, those of the newest leaves first. `limit` 1 to 1000. */
  deadNotices(tenant: string, limit: number, pageToken?: string): Promise<{ notices: Notice[]; nextPageToken?: string }>;
  /** A notice that was given up, or `undefined`. */
  deadNotice(leafId: string, seq: bigint): Promise<Notice | undefined>;
  /** Tell a notice again that was given up, from now on. False if it is none. */
  reviveNotice(leafId: string, seq: bigint, note: string): Promise<boolean>;
  /** Resolves when a notice of a tenant that is not in `skip` may be due, at the latest after `timeoutMs`, or when `signal` aborts. Never rejects. */
  waitForNotices(skip: readonly string[], timeoutMs: number, signal: AbortSignal): Promise<void>;
}

/** Throw INVALID_ARGUMENT if a number of notices is out of range. */
export function checkNoticeLimit(limit: number): void {
  const validation = new Validation();
  validation.range("page_size", limit, 1, 1000);
  validation.done();
}

/** The token that continues a listing of a tenant's notices after one of them. */
export function pageTokenOfNotice({ tenant, leafId, seq }: Notice): string {
  return pageTokenOfPair(tenant, `${leafId} ${seq}`, tenant);
}

/** The notice that a token was made of. Throws INVALID_ARGUMENT if it is not one of ours, or of another tenant's listing. */
export function noticeOfPageToken(token: string, tenant: string): [leafId: string, seq: number] {
  const [leafId = "", seq] = pairOfPageToken(token, tenant)[1].split(" ");
  return [leafId, Number(seq)];
}
