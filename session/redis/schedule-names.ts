import { pairOfPageToken } from "../page-token.ts";
import { encode } from "./names.ts";

/** A schedule's name in keys: names are in the order of tenants and ids, since a space stands before all that either holds. */
export function scheduleName(tenant: string, scheduleId: string): string {
  return `${encode(tenant)} ${encode(scheduleId)}`;
}

/** The names of a tenant's schedules, or of all, behind those that an earlier page ended with: lowest and highest, as ZRANGE BYLEX takes them. */
export function scheduleRange(tenant: string | undefined, pageToken: string | undefined): [lowest: string, highest: string] {
  const first = tenant === undefined ? "-" : `[${encode(tenant)} `;
  // The exclamation mark is what comes behind the space.
  const highest = tenant === undefined ? "+" : `(${encode(tenant)}!`;
  return [pageToken ? `(${scheduleName(...pairOfPageToken(pageToken, tenant))}` : first, highest];
}
