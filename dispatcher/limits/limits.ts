import { Code, type Interceptor } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { TokenBucket } from "@serverless-harness/kit/token-bucket";
import type { AccountLimits, AccountUse, Charge, LeafStore } from "@serverless-harness/session";
import { type Caller, callerKey } from "../callers/caller.ts";
import { Chore } from "../chore.ts";
import { FollowedFile } from "../followed-file.ts";
import { type Bounds, type LimitsTable, readLimitsFile, type TenantBounds } from "./limits-file.ts";

/** How often it is looked whether the file changed, in milliseconds. */
const LOOK_MS = 1000;
/** Tenants and tokens whose rate is known at once. One that is forgotten begins with a full bucket. */
const MAX_BUCKETS = 10_000;

/** What somebody may have, and has. */
export interface Standing<B extends Bounds> {
  readonly limits: B;
  readonly use: AccountUse;
}

/** What limits stand on. */
export interface LimitsOptions {
  readonly store: Pick<LeafStore, "setTenant" | "tenant" | "accountUse">;
  /** The operator's file; absent: there is none. */
  readonly path: string | undefined;
  /** Where the file says nothing. */
  readonly defaults: LimitsTable;
  readonly log: Logger;
}

/**
 * What each tenant and each token may take. The operator's file says it; a changed file counts within a second, one that can't be used is logged, and what was read before goes
 * on. Leaves, bytes, tokens and cost are counted by the store, for all dispatchers together; requests a second by each dispatcher for itself.
 */
export class Limits {
  readonly #options: LimitsOptions;
  readonly #chore: Chore;
  readonly #buckets = new Map<string, TokenBucket>();
  /** `undefined`: there is none. */
  readonly #file: FollowedFile<LimitsTable> | undefined;
  /** Tenants whose share and cap the store was told, as they were. */
  readonly #told = new Map<string, string>();

  /** Throws a ConfigError that lists what is wrong with the file. */
  constructor(options: LimitsOptions) {
    const { path, defaults, log } = options;
    this.#options = options;
    const read = (file: string): LimitsTable => readLimitsFile(file, defaults);
    const summary = ({ tenants }: LimitsTable) => ({ tenants: tenants.size });
    this.#file = path === undefined ? undefined : new FollowedFile({ path, read, of: "limits", summary, log });
    const failed = "the store could not be told what tenants may take: tried again";
    this.#chore = new Chore({ intervalMs: LOOK_MS, work: () => this.#look(), failed, log });
  }

  /** Tell the store what it has to know, now and whenever the file changes. */
  start(): void {
    if (this.#file !== undefined) this.#chore.start();
  }

  /** Look at the file no more. */
  async stop(): Promise<void> {
    await this.#chore.stop();
  }

  /** What a tenant may take. */
  ofTenant(tenant: string): TenantBounds {
    return this.#table.tenants.get(tenant) ?? this.#table.tenant;
  }

  /** RESOURCE_EXHAUSTED `limit_reached` if the caller's tenant or token makes more requests than it may. The operator has no limit. */
  requireRate({ tenant, account }: Caller): void {
    if (tenant === undefined) return;
    if (account !== undefined) this.#take("token", `${tenant}/${account}`, this.#ofToken(account).requests_per_second);
    this.#take("tenant", tenant, this.ofTenant(tenant).requests_per_second);
  }

  /** {@link requireRate} for every RPC whose caller is known. */
  interceptor(): Interceptor {
    return (next) => (request) => {
      const caller = request.contextValues.get(callerKey);
      if (caller !== undefined) this.requireRate(caller);
      return next(request);
    };
  }

  /** What a leaf that somebody submits for a tenant is counted for, and under which limits. The store knows the tenant's cap once this resolves. */
  async chargeFor({ account }: Caller, tenant: string): Promise<Charge> {
    await this.#tell(tenant);
    const ofTenant = accountLimits(this.ofTenant(tenant));
    if (account === undefined) return { account: "", ofTenant };
    return { account, ofTenant, ofAccount: accountLimits(this.#ofToken(account)) };
  }

  /** What a tenant may have and has, and so the caller's token. */
  async standing(
    { account }: Caller,
    tenant: string,
  ): Promise<{ readonly tenant: Standing<TenantBounds>; readonly token: Standing<Bounds> | undefined }> {
    const { store } = this.#options;
    const { maxRunning: running, weight } = await store.tenant(tenant);
    const limits = { ...this.ofTenant(tenant), running, weight };
    const ofTenant = { limits, use: await store.accountUse(tenant, "") };
    if (account === undefined) return { tenant: ofTenant, token: undefined };
    return { tenant: ofTenant, token: { limits: this.#ofToken(account), use: await store.accountUse(tenant, account) } };
  }

  get #table(): LimitsTable {
    return this.#file?.content ?? this.#options.defaults;
  }

  #ofToken(account: string): Bounds {
    return this.#table.tokens.get(account) ?? this.#table.token;
  }

  #take(owner: "tenant" | "token", name: string, perSecond: number): void {
    if (perSecond === 0) return;
    const key = `${owner} ${name} ${perSecond}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= MAX_BUCKETS) this.#buckets.clear();
      // What comes within a second may come at once.
      bucket = new TokenBucket(perSecond, Math.max(1, perSecond));
      this.#buckets.set(key, bucket);
    }
    if (bucket.take(performance.now())) return;
    const limit = `${owner}.requests_per_second`;
    const text = `the ${owner} has its limit of ${perSecond} requests a second (${limit}): try again in a moment, or ask the operator for more`;
    const metadata = { limit, value: String(perSecond) };
    throw new HarnessError(Code.ResourceExhausted, "limit_reached", text, { metadata, retryAfterMs: bucket.waitMs });
  }

  async #look(): Promise<void> {
    this.#file?.look();
    for (const tenant of new Set([...this.#table.tenants.keys(), ...this.#told.keys()])) await this.#tell(tenant);
  }

  /** The store gives tenants their turns. Without a file it keeps what it was told otherwise. */
  async #tell(tenant: string): Promise<void> {
    const { weight, running: maxRunning } = this.ofTenant(tenant);
    const said = `${weight} ${maxRunning}`;
    if (this.#file === undefined || this.#told.get(tenant) === said) return;
    await this.#options.store.setTenant(tenant, { weight, maxRunning });
    this.#told.set(tenant, said);
  }
}

function accountLimits({ unfinished, bytes, tokens_per_day, usd_per_day }: Bounds): AccountLimits {
  return { unfinished, bytes, tokensPerDay: tokens_per_day, microUsdPerDay: Math.round(usd_per_day * 1e6) };
}
