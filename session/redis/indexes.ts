import { type LeafSpec, LeafState } from "@serverless-harness/proto/leaf";
import { isTerminal, type LeafQuery } from "../contract/leaf.ts";
import { encode, sessionName } from "./names.ts";

/** Indexes that hold a leaf for ever, by their names within its partition. Others hold it by its state. */
export function indexesOf(spec: LeafSpec): string[] {
  const labels = Object.entries(spec.labels).map(([name, value]) => labelIndex(name, value));
  return ["leaves", tenantIndex(spec.tenant), sessionIndex(spec.tenant, spec.sessionId), ...labels];
}

/** States with an index each, since few leaves are in them: `lib.lua` has the same list. */
const INDEXED: ReadonlySet<LeafState> = new Set([
  LeafState.SUSPENDED,
  LeafState.AWAITING_APPROVAL,
  LeafState.RETRYING,
  LeafState.FAILED,
  LeafState.CANCELLED,
]);

/** How a partition's leaves that match are found. */
interface Search {
  /** The index that should hold the fewest of those that hold all. */
  readonly walk: string;
  /** Further indexes that must hold a leaf. */
  readonly checks: readonly string[];
  /** States of which a leaf must be in one; none: it may be in any. */
  readonly states: readonly LeafState[];
}

export function indexesFor({ tenant, sessionId, states = [], labels = {} }: LeafQuery): Search {
  const indexes: string[] = [];
  if (tenant !== undefined && sessionId !== undefined) indexes.push(sessionIndex(tenant, sessionId));
  for (const [name, value] of Object.entries(labels)) indexes.push(labelIndex(name, value));
  const [state] = states;
  const indexed = states.length === 1 && state !== undefined && INDEXED.has(state);
  if (indexed) indexes.push(`state:${state}`);
  else if (states.length > 0 && !states.some(isTerminal)) indexes.push("unfinished");
  if (tenant !== undefined && sessionId === undefined) indexes.push(tenantIndex(tenant));
  const [walk = "leaves", ...checks] = indexes;
  return { walk, checks, states: indexed ? [] : states };
}

function tenantIndex(tenant: string): string {
  return `tenant:${encode(tenant)}`;
}

function sessionIndex(tenant: string, sessionId: string): string {
  return `of:${sessionName(tenant, sessionId)}`;
}

function labelIndex(name: string, value: string): string {
  return `label:${encode(name)}=${encode(value)}`;
}
