import { Validation } from "@serverless-harness/kit/validate";

/** What a tenant may take. */
export interface TenantSettings {
  /** Its share if several have work waiting: 1 (default) to 1000. Of two tenants, one with twice the weight gets twice the claims. */
  readonly weight: number;
  /** Leaves that run at once at the most. 0 (default): no bound. */
  readonly maxRunning: number;
}

/** The settings of a tenant for which none were set. */
export const DEFAULT_TENANT: TenantSettings = { weight: 1, maxRunning: 0 };

/** Who may take how much. A tenant needs no settings to submit. */
export interface Tenants {
  /** Set what a tenant may take, from the next claim on. INVALID_ARGUMENT names the setting that is out of range. */
  setTenant(tenant: string, settings: TenantSettings): Promise<void>;
  /** A tenant's settings, or the default. */
  tenant(tenant: string): Promise<TenantSettings>;
}

/** What a claim adds to the pass of a tenant of weight 1. */
const STRIDE = 1_000_000;

/** Throw INVALID_ARGUMENT that names every setting that is out of range. */
export function checkTenant(tenant: string, { weight, maxRunning }: TenantSettings): void {
  const validation = new Validation();
  validation.characters("tenant", tenant, 1, 128);
  validation.check("weight", Number.isInteger(weight) && weight >= 1 && weight <= 1000, "must be a whole number from 1 to 1000");
  const isCap = Number.isInteger(maxRunning) && maxRunning >= 0 && maxRunning <= 1_000_000;
  validation.check("max_running", isCap, "must be a whole number from 0 to 1000000");
  validation.done();
}

/** How far a claim moves a tenant of this weight back in the order of who is next. */
export function strideOf(weight: number): number {
  return Math.floor(STRIDE / weight);
}
