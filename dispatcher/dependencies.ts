import type { HealthState } from "@serverless-harness/kit/health";
import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore } from "@serverless-harness/session";
import type { Audit } from "./audit/audit.ts";
import type { Authenticator } from "./callers/authenticator.ts";
import type { Drain } from "./drain.ts";
import type { IssuedTokens } from "./issued-tokens.ts";
import type { Limits } from "./limits/limits.ts";
import type { Pool } from "./pool/pool.ts";
import type { PoolState } from "./pool/pool-state.ts";
import type { Sandbox } from "./sandbox/sandbox.ts";
import type { SandboxProbe } from "./sandbox-probe.ts";
import type { Schedules } from "./schedules/schedules.ts";
import type { SeedApiSettings } from "./seed-api/settings.ts";
import type { Volume } from "./volume/volume.ts";
import type { Waker } from "./waker/waker.ts";
import type { Webhooks } from "./webhooks/webhooks.ts";

/** What the front door stands on. */
export interface Dependencies {
  readonly store: LeafStore;
  readonly waker: Waker;
  /** `undefined` if nothing says where it is, or there is a pool. */
  readonly sandbox: Sandbox | undefined;
  readonly sandboxProbe: Pick<SandboxProbe, "problem">;
  /** What is known of the pool; `undefined`: there is none. */
  readonly poolState: PoolState | undefined;
  /** Verifies the tokens that open sandboxes, as PEM. `undefined`: none are made here. */
  readonly sandboxPublicKey: string | undefined;
  /** The pool of sandboxes in which sessions are placed; `undefined`: there is none. */
  readonly pool: Pool | undefined;
  readonly schedules: Schedules;
  readonly auth: Authenticator;
  readonly tokens: IssuedTokens;
  readonly audit: Audit;
  readonly limits: Limits;
  readonly webhooks: Webhooks;
  readonly drain: Drain;
  readonly health: HealthState;
  /** A stream is never silent for longer, in milliseconds. */
  readonly keepAliveMs: number;
  /** Who waits for a leaf's end waits no longer for room in a sandbox, in milliseconds. */
  readonly saturationMs: number;
  readonly seedApi: SeedApiSettings;
  /** Where leaves are read from and written to. Absent: nowhere. */
  readonly volume: Volume | undefined;
  readonly log: Logger;
}
