import { checkTenant, DEFAULT_TENANT, type TenantSettings } from "../contract/tenants.ts";
import type { Connection } from "./connection.ts";

const READ = "SELECT weight, max_running FROM harness_tenants WHERE tenant = ?";
const WRITE = `INSERT INTO harness_tenants (tenant, weight, max_running) VALUES (?, ?, ?)
  ON CONFLICT (tenant) DO UPDATE SET weight = excluded.weight, max_running = excluded.max_running`;
const CHANGED = "UPDATE harness_queue SET changes = changes + 1";
/** Who has nothing of its own and is not ahead of anybody is as one that never was. */
const FORGET = `DELETE FROM harness_tenants WHERE weight = ${DEFAULT_TENANT.weight} AND max_running = ${DEFAULT_TENANT.maxRunning}
  AND pass <= (SELECT clock FROM harness_queue)`;

/** A tenant's settings, or the default. */
export function readTenant(connection: Connection, tenant: string): TenantSettings {
  const row = connection.one<{ weight: number; max_running: number }>(READ, tenant);
  return row === undefined ? DEFAULT_TENANT : { weight: row.weight, maxRunning: row.max_running };
}

/** Set what a tenant may take, inside the caller's transaction. */
export function writeTenant(connection: Connection, tenant: string, settings: TenantSettings): void {
  checkTenant(tenant, settings);
  connection.run(WRITE, tenant, settings.weight, settings.maxRunning);
  // A cap that was raised makes leaves ready, and no event tells of that.
  noteChange(connection);
}

/** Everybody who listens looks for itself after this commit: something changed that no event tells of. */
export function noteChange(connection: Connection): void {
  connection.run(CHANGED);
}

/** Forget tenants of whom nothing is to be remembered, inside the caller's transaction. */
export function forgetIdleTenants(connection: Connection): void {
  connection.run(FORGET);
}
