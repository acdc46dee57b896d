/** What a tenant may take. */
export interface TenantSettings {
  /** Its share where several have work waiting: 1 (default) to 1000. Of two tenants, one with twice the weight gets twice the claims. */
  readonly weight: number;
  /** Leaves that run at once at the most. 0 (default): no bound. */
  readonly maxRunning: number;
}

/** Settings of a tenant that has none of its own. */
export const DEFAULT_TENANT: TenantSettings = { weight: 1, maxRunning: 0 };

/** Who may take how much. A tenant needs no settings to submit. */
export interface Tenants {
  /** Set what a tenant may take, from the next claim on. INVALID_ARGUMENT names the setting that is out of range. */
  setTenant(tenant: string, settings: TenantSettings): Promise<void>;
  /** A tenant's settings, or the default. */
  tenant(tenant: string): Promise<TenantSettings>;
}
