import { strideOf } from "../contract/tenants.ts";
import type { Connection } from "./connection.ts";

/** Tenants with a ready leaf: one look-up in the index for each, however many leaves it has. */
const WITH_READY = `WITH RECURSIVE ready (tenant) AS (
  SELECT min(tenant) FROM harness_leaves INDEXED BY harness_leaves_ready WHERE due_ms = 0
  UNION ALL
  SELECT (SELECT min(tenant) FROM harness_leaves INDEXED BY harness_leaves_ready WHERE due_ms = 0 AND tenant > ready.tenant)
  FROM ready WHERE ready.tenant IS NOT NULL)`;
const RUNNING = `SELECT count(*) FROM harness_leaves l INDEXED BY harness_leaves_tenant_state
  WHERE l.tenant = ready.tenant AND l.state = 2 AND l.due_ms > ?1`;
const NEXT = `${WITH_READY}
  SELECT ready.tenant AS tenant, max(coalesce(t.pass, 0), q.clock) AS pass, coalesce(t.weight, 1) AS weight
  FROM ready CROSS JOIN harness_queue q LEFT JOIN harness_tenants t ON t.tenant = ready.tenant
  WHERE ready.tenant IS NOT NULL AND (coalesce(t.max_running, 0) = 0 OR (${RUNNING}) < t.max_running)
  ORDER BY pass, ready.tenant LIMIT 1`;
const ADVANCE_CLOCK = "UPDATE harness_queue SET clock = ? WHERE clock <> ?1";
const ADVANCE_TENANT = "INSERT INTO harness_tenants (tenant, pass) VALUES (?, ?) ON CONFLICT (tenant) DO UPDATE SET pass = excluded.pass";
const BEST = `SELECT n, tenant, session_id, state, worker_lost FROM harness_leaves INDEXED BY harness_leaves_ready
  WHERE tenant = ? AND due_ms = 0 ORDER BY priority DESC, n LIMIT 1`;
const ANY_CAP = "SELECT 1 FROM harness_tenants WHERE max_running > 0 LIMIT 1";

/** A tenant whose turn it is, by its virtual time. */
export type NextTenant = { tenant: string; pass: number; weight: number };

/** A leaf that is to be claimed. */
export type Candidate = { n: number; tenant: string; session_id: string; state: number; worker_lost: number };

/** Some tenant may run fewer leaves at once than it has. */
export function hasCaps(connection: Connection): boolean {
  return connection.one(ANY_CAP) !== undefined;
}

/**
 * The tenant that is furthest behind its share, of those that have a ready leaf and room below their cap at `nowMs`. Whoever was idle begins
 * where all are at present, so that it saves up nothing.
 */
export function nextTenant(connection: Connection, nowMs: number): NextTenant | undefined {
  return connection.one<NextTenant>(NEXT, nowMs);
}

/** Charge the tenant whose turn it is for a claim, and return its best ready leaf. Inside the caller's transaction. */
export function chargeTenant(connection: Connection, { tenant, pass, weight }: NextTenant): Candidate | undefined {
  connection.run(ADVANCE_CLOCK, pass);
  connection.run(ADVANCE_TENANT, tenant, pass + strideOf(weight));
  return connection.one<Candidate>(BEST, tenant);
}
