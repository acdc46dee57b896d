import { pairOfPageToken } from "../contract/page-token.ts";
import { encode } from "./names.ts";

/** The name in keys of what has an id within its tenant: names are in the order of tenants and ids, since a space stands before all that either holds. */
export function pairName(tenant: string, id: string): string {
  return `${encode(tenant)} ${encode(id)}`;
}

/** The names of a tenant's things, or of all, after those that an earlier page ended with: lowest and highest, as ZRANGE BYLEX takes them. */
export function pairRange(tenant: string | undefined, pageToken: string | undefined): [lowest: string, highest: string] {
  const first = tenant === undefined ? "-" : `[${encode(tenant)} `;
  // The exclamation mark is what comes after the space.
  const highest = tenant === undefined ? "+" : `(${encode(tenant)}!`;
  return [pageToken ? `(${pairName(...pairOfPageToken(pageToken, tenant))}` : first, highest];
}
