import { createHash } from "node:crypto";
import { type HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import type { LeafQuery } from "./leaf.ts";

/** The token that continues a listing after leaf number `n`. It names a place, not a count, so new leaves don't shift pages. */
export function pageTokenOf(n: number, query: Filters): string {
  return Buffer.from(`leaf ${n} ${mark(query)}`).toString("base64url");
}

/** The number that a token holds. Throws INVALID_ARGUMENT if it is not one of ours, or of a listing with other filters. */
export function numberOfPageToken(token: string, query: Filters): number {
  const text = Buffer.from(token, "base64url").toString();
  const [, number = "", filters] = /^leaf ([1-9]\d{0,15}) ([\w-]{16})$/.exec(text) ?? [];
  const n = Number(number);
  if (filters === undefined || !Number.isSafeInteger(n)) throw notOurs();
  if (filters !== mark(query)) throw otherFilters();
  if (pageTokenOf(n, query) === token) return n;
  throw notOurs();
}

/** What of a listing's query chooses leaves. */
type Filters = Pick<LeafQuery, "tenant" | "sessionId" | "states" | "labels">;

/** A short mark of the filters of a listing: a token goes on in that listing and in no other. */
function mark({ tenant = "", sessionId = "", states = [], labels = {} }: Filters): string {
  const byName = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  const filters = JSON.stringify([tenant, sessionId, [...new Set(states)].sort(), byName]);
  return createHash("sha256").update(filters).digest("base64url").slice(0, 16);
}

/** The token that continues a listing of all tenants, or of `of` alone, after a tenant's id, whatever characters they hold. */
export function pageTokenOfPair(tenant: string, id: string, of: string | undefined): string {
  return Buffer.from(JSON.stringify([tenant, id, of ?? null])).toString("base64url");
}

/** The tenant and the id that a token holds. Throws INVALID_ARGUMENT if it is not one of ours, or of a listing of others. */
export function pairOfPageToken(token: string, of: string | undefined): [tenant: string, id: string] {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    throw notOurs();
  }
  const [tenant, id, listed] = Array.isArray(parts) ? (parts as unknown[]) : [];
  if (typeof tenant !== "string" || typeof id !== "string" || (typeof listed !== "string" && listed !== null)) throw notOurs();
  if (pageTokenOfPair(tenant, id, listed ?? undefined) !== token) throw notOurs();
  if (listed !== (of ?? null)) throw otherFilters();
  return [tenant, id];
}

function notOurs(): HarnessError {
  return invalidArgument([{ field: "page_token", description: "must be empty or the next_page_token of an earlier answer" }]);
}

function otherFilters(): HarnessError {
  const description =
    "is of a listing with other filters: go on with those that it came with, or leave it empty to start from the beginning";
  return invalidArgument([{ field: "page_token", description }]);
}
