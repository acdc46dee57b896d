import { Validation } from "@serverless-harness/kit/validate";
import type { Notice } from "./notices.ts";
import { pageTokenOfPair, pairOfPageToken } from "./page-token.ts";

/** Throw INVALID_ARGUMENT if a number of notices is out of range. */
export function checkNoticeLimit(limit: number): void {
  const validation = new Validation();
  validation.range("page_size", limit, 1, 1000);
  validation.done();
}

/** The token that continues a listing of a tenant's notices behind one of them. */
export function pageTokenOfNotice({ tenant, leafId, seq }: Notice): string {
  return pageTokenOfPair(tenant, `${leafId} ${seq}`, tenant);
}

/** The notice that a token was made of. Throws INVALID_ARGUMENT if it is not one of ours, or of another tenant's listing. */
export function noticeOfPageToken(token: string, tenant: string): [leafId: string, seq: number] {
  const [leafId = "", seq] = pairOfPageToken(token, tenant)[1].split(" ");
  return [leafId, Number(seq)];
}
