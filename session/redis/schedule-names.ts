import { invalidArgument } from "@serverless-harness/kit/errors";
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
  return [pageToken ? `(${nameOfPageToken(pageToken)}` : first, highest];
}

/** The name that a page's token holds. Throws INVALID_ARGUMENT where it is not one of ours. */
function nameOfPageToken(token: string): string {
  const name = /^at ([^ ]+ [^ ]+)$/.exec(Buffer.from(token, "base64url").toString())?.[1];
  if (name !== undefined && Buffer.from(`at ${name}`).toString("base64url") === token) return name;
  throw invalidArgument([{ field: "page_token", description: "must be empty or the next_page_token of an earlier answer" }]);
}
