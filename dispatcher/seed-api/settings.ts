import type { Network } from "@serverless-harness/kit/address-ranges";

/** How the seed's API is served. */
export interface SeedApiSettings {
  /** Its clients get what they need and we would not do by ourselves. */
  readonly compat: boolean;
  /** With `compat`: where calls without a token may come from. Absent: from this machine, without a proxy in between. */
  readonly openNetworks: readonly Network[] | undefined;
  /** Provider of a run that names a model alone. */
  readonly provider: string;
  /** Model of a run that names a provider alone, without the provider. Empty: there is none. */
  readonly model: string;
  /** A run waits for so many milliseconds for a sandbox that has no room, or is away, before its caller is told so. */
  readonly saturationMs: number;
  /** When a caller that was told so shall come again, in seconds. */
  readonly retryAfterS: number;
}
