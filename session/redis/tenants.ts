import { Validation } from "@serverless-harness/kit/validate";
import { DEFAULT_TENANT, type TenantSettings } from "../tenants.ts";
import type { Database } from "./database.ts";
import { encode } from "./names.ts";
import { list, text } from "./scripts.ts";

/** Set what a tenant may take. */
export async function setTenant(database: Database, tenant: string, { weight, maxRunning }: TenantSettings): Promise<void> {
  const validation = new Validation();
  const whole = Number.isInteger(weight) && Number.isInteger(maxRunning);
  validation.name("tenant", tenant);
  validation.range("weight", weight, 1, 1000);
  validation.range("max_running", maxRunning, 0, 1_000_000);
  validation.check("tenant_settings", whole, "must be whole numbers");
  validation.done();
  await database.runIndex("setTenant", encode(tenant), weight, maxRunning);
}

/** A tenant's settings, or the default. */
export async function readTenant(database: Database, tenant: string): Promise<TenantSettings> {
  const [weight, maxRunning] = list(await database.runIndex("getTenant", encode(tenant))).map(text);
  if (!weight || !maxRunning) return DEFAULT_TENANT;
  return { weight: Number(weight), maxRunning: Number(maxRunning) };
}
