import { type HarnessError, invalidArgument } from "@serverless-harness/kit/errors";

/** The token that continues a listing behind leaf number `n`. It names a place, not a count, so new leaves don't shift pages. */
export function pageTokenOf(n: number): string {
  return Buffer.from(`leaf ${n}`).toString("base64url");
}

/** The number that a token holds. Throws INVALID_ARGUMENT where it is not one of ours. */
export function numberOfPageToken(token: string): number {
  const text = Buffer.from(token, "base64url").toString();
  const n = Number(/^leaf ([1-9]\d{0,15})$/.exec(text)?.[1]);
  if (Number.isSafeInteger(n) && pageTokenOf(n) === token) return n;
  throw notOurs();
}

/** The token that continues a listing behind a tenant's id, whatever characters they hold. */
export function pageTokenOfPair(tenant: string, id: string): string {
  return Buffer.from(JSON.stringify([tenant, id])).toString("base64url");
}

/** The tenant and the id that a token holds. Throws INVALID_ARGUMENT where it is not one of ours. */
export function pairOfPageToken(token: string): [tenant: string, id: string] {
  const text = Buffer.from(token, "base64url").toString();
  const [, tenant, id] = /^\[("(?:[^"\\]|\\.)*"),("(?:[^"\\]|\\.)*")\]$/.exec(text) ?? [];
  if (tenant === undefined || id === undefined) throw notOurs();
  try {
    const pair: [string, string] = [JSON.parse(tenant), JSON.parse(id)];
    if (pageTokenOfPair(...pair) === token) return pair;
  } catch {
    // Not JSON, so not one of ours.
  }
  throw notOurs();
}

function notOurs(): HarnessError {
  return invalidArgument([{ field: "page_token", description: "must be empty or the next_page_token of an earlier answer" }]);
}
