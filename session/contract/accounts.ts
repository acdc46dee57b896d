/** What an account may have at the most; 0: no bound. */
export interface AccountLimits {
  /** Leaves that are not over: those that wait and those that run. */
  readonly unfinished: number;
  /** Bytes that its leaves take: their specs, and what brains wrote into their logs. */
  readonly bytes: number;
  /** Tokens a day (UTC) that models read and wrote for it, cached ones too. */
  readonly tokensPerDay: number;
  /** Cost a day (UTC), in millionths of a US dollar. */
  readonly microUsdPerDay: number;
}

/** What an account has and used. */
export interface AccountUse {
  readonly unfinished: number;
  readonly bytes: number;
  /** Today. */
  readonly tokens: number;
  /** Today. */
  readonly microUsd: number;
}

/** What a new leaf is counted for, besides its tenant, and under which limits. */
export interface Charge {
  /** Whoever submits it, within the tenant, as a token's id. Empty: nobody but the tenant. */
  readonly account: string;
  /** Of the tenant. Absent: none. */
  readonly ofTenant?: AccountLimits;
  /** Of that account. Absent: none. */
  readonly ofAccount?: AccountLimits;
}

/** What tenants have and used, and in them each account that leaves were submitted for. */
export interface Accounts {
  /** `account`: empty for the whole tenant. */
  accountUse(tenant: string, account: string): Promise<AccountUse>;
}
