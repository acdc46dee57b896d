import { LeafState } from "@serverless-harness/proto/leaf";
import type { Backlog } from "../contract/leaf-store.ts";
import type { Connection } from "./connection.ts";

const READY = "SELECT count(*) AS count FROM (SELECT 1 FROM harness_leaves WHERE due_ms <= ? LIMIT ?)";
const RUNNING = `SELECT count(*) AS count FROM harness_leaves WHERE state = ${LeafState.RUNNING} AND due_ms > ?`;
const NEXT_DUE = "SELECT min(due_ms) AS due FROM harness_leaves WHERE due_ms > ?";

/** Leaves of tenants with a cap that wait at `nowMs` and can't run under it. */
const HELD_BACK = `SELECT coalesce(sum(max(0, ready - max(0, max_running - running))), 0) AS count FROM (
  SELECT t.max_running,
    (SELECT count(*) FROM harness_leaves l WHERE l.tenant = t.tenant AND l.due_ms <= ?1) AS ready,
    (SELECT count(*) FROM harness_leaves l INDEXED BY harness_leaves_tenant_state
      WHERE l.tenant = t.tenant AND l.state = ${LeafState.RUNNING} AND l.due_ms > ?1) AS running
  FROM harness_tenants t WHERE t.max_running > 0)`;

/** Leaves that can be claimed at `nowMs`, counted up to `limit` (-1: all). */
export function countReady(connection: Connection, nowMs: number, limit: number): number {
  return connection.one<{ count: number }>(READY, nowMs, limit)?.count ?? 0;
}

/** When the next leaf becomes ready by time alone, or `undefined`. */
export function nextDueMs(connection: Connection, nowMs: number): number | undefined {
  return connection.one<{ due: number | null }>(NEXT_DUE, nowMs)?.due ?? undefined;
}

function heldBack(connection: Connection, nowMs: number): number {
  return connection.one<{ count: number }>(HELD_BACK, nowMs)?.count ?? 0;
}

/** What waits and what runs at `nowMs`. */
export function readBacklog(connection: Connection, nowMs: number): Backlog {
  const next = nextDueMs(connection, nowMs);
  return {
    ready: countReady(connection, nowMs, -1) - heldBack(connection, nowMs),
    running: connection.one<{ count: number }>(RUNNING, nowMs)?.count ?? 0,
    ...(next === undefined ? {} : { nextDueMs: next }),
  };
}
