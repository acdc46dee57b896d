import { invalidArgument } from "@serverless-harness/kit/errors";

/** The token that continues a listing behind leaf number `n`. It names a place, not a count, so new leaves don't shift pages. */
export function pageTokenOf(n: number): string {
  return Buffer.from(`leaf ${n}`).toString("base64url");
}

/** The number that a token holds. Throws INVALID_ARGUMENT where it is not one of ours. */
export function numberOfPageToken(token: string): number {
  const text = Buffer.from(token, "base64url").toString();
  const n = Number(/^leaf ([1-9]\d{0,15})$/.exec(text)?.[1]);
  if (Number.isSafeInteger(n) && pageTokenOf(n) === token) return n;
  throw invalidArgument([{ field: "page_token", description: "must be empty or the next_page_token of an earlier answer" }]);
}
