import type { LeafSpec } from "@serverless-harness/proto/leaf";
import type { LeafQuery } from "../leaf-store.ts";
import { encode, sessionName } from "./names.ts";

/** Indexes that hold a leaf for ever, by their names within its partition. Another one holds it by its state. */
export function indexesOf(spec: LeafSpec): string[] {
  const labels = Object.entries(spec.labels).map(([name, value]) => labelIndex(name, value));
  return ["leaves", tenantIndex(spec.tenant), sessionIndex(spec.tenant, spec.sessionId), ...labels];
}

/**
 * How a partition's leaves that match are found: along one index, the one that should hold the fewest, looking each leaf up in the others.
 * Of every further list, one index must hold it.
 */
export function indexesFor({ tenant, sessionId, states = [], labels = {} }: LeafQuery): { walk: string; checks: string[] } {
  const lists: string[][] = [];
  if (tenant !== undefined && sessionId !== undefined) lists.push([sessionIndex(tenant, sessionId)]);
  for (const [name, value] of Object.entries(labels)) lists.push([labelIndex(name, value)]);
  if (states.length === 1) lists.push([`state:${states[0]}`]);
  if (tenant !== undefined && sessionId === undefined) lists.push([tenantIndex(tenant)]);
  if (states.length > 1)
    lists.push(
      ["leaves"],
      states.map((state) => `state:${state}`),
    );
  const [walk = ["leaves"], ...checks] = lists;
  return { walk: walk.join(), checks: checks.map((names) => names.join("\n")) };
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
