import { checkTenant, DEFAULT_TENANT, type TenantSettings } from "../contract/tenants.ts";
import type { Database } from "./database.ts";
import { encode } from "./names.ts";
import { list, text } from "./scripts.ts";

/** Set what a tenant may take. */
export async function setTenant(database: Database, tenant: string, settings: TenantSettings): Promise<void> {
  checkTenant(tenant, settings);
  await database.runIndex("setTenant", encode(tenant), settings.weight, settings.maxRunning);
}

/** A tenant's settings, or the default. */
export async function readTenant(database: Database, tenant: string): Promise<TenantSettings> {
  const [weight, maxRunning] = list(await database.runIndex("getTenant", encode(tenant))).map(text);
  if (!weight || !maxRunning) return DEFAULT_TENANT;
  return { weight: Number(weight), maxRunning: Number(maxRunning) };
}
