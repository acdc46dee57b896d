import { Validation } from "@serverless-harness/kit/validate";
import { type GetRequest, type LeafState, LeafStateSchema, type ListRequest } from "@serverless-harness/proto/leaf";
import type { LeafQuery } from "@serverless-harness/session";
import { checkLabels } from "./envelope.ts";

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;
const STATES: ReadonlySet<number> = new Set(LeafStateSchema.values.map((value) => value.number).filter((number) => number !== 0));

/** How many a page has. Notes a size that is out of range. */
export function pageSize(v: Validation, size: number): number {
  v.check("page_size", size >= 0 && size <= MAX_PAGE_SIZE, `must be 1 to ${MAX_PAGE_SIZE}, or 0 for the default`);
  return size || DEFAULT_PAGE_SIZE;
}

/** Note a leaf id that names nothing. */
export function checkLeafId(v: Validation, leafId: string): void {
  v.check("leaf_id", leafId !== "", "must be set: Submit returned it");
}

/** The id of the leaf that a request names. INVALID_ARGUMENT where there is none. */
export function requireLeafId(request: Pick<GetRequest, "leafId">): string {
  const v = new Validation();
  checkLeafId(v, request.leafId);
  v.done();
  return request.leafId;
}

/** Check the filters of List and put them into the store's form. INVALID_ARGUMENT lists every wrong field. */
export function leafQuery(request: ListRequest): LeafQuery {
  const v = new Validation();
  if (request.tenant !== "") v.name("tenant", request.tenant);
  if (request.sessionId !== "") v.name("session_id", request.sessionId);
  checkStates(v, request.states);
  checkLabels(v, "labels", request.labels);
  const limit = pageSize(v, request.pageSize);
  v.done();
  return {
    ...(request.tenant === "" ? {} : { tenant: request.tenant }),
    ...(request.sessionId === "" ? {} : { sessionId: request.sessionId }),
    ...(request.states.length === 0 ? {} : { states: request.states }),
    ...(Object.keys(request.labels).length === 0 ? {} : { labels: request.labels }),
    ...(request.pageToken === "" ? {} : { pageToken: request.pageToken }),
    limit,
  };
}

function checkStates(v: Validation, states: readonly LeafState[]): void {
  for (const [index, state] of states.entries()) {
    v.check(`states[${index}]`, STATES.has(state), "must be one of the states of LeafState, and not LEAF_STATE_UNSPECIFIED");
  }
}
