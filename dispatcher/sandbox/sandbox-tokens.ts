import type { Claims } from "@serverless-harness/kit/hands-claims";
import { TokenMint } from "@serverless-harness/kit/hands-token";

/** What a token covers. */
export type Covers = Pick<Claims, "scopes" | "epoch" | "operations">;

/** How long a token is good, in milliseconds. A brain renews it after half of that, so that it can do without a dispatcher for the other half. */
export const TOKEN_LIFE_MS = 5 * 60_000;
/** A clock that differs from the sandbox's by more is not made up for. */
const MAX_CLOCK_CORRECTION_MS = 24 * 3_600_000;

/** Makes tokens for the sandbox, by its clock: the one place that knows the key and what a token looks like. */
export class SandboxTokens {
  readonly #mint: TokenMint;
  readonly #now: () => number;
  /** How far the sandbox's clock is ahead of this machine's, as far as it has told. */
  #aheadMs = 0;

  /** `now`: this machine's clock. Default: the real one. */
  constructor(privateKeyPem: string, now: () => number = Date.now) {
    this.#mint = new TokenMint(privateKeyPem);
    this.#now = now;
  }

  /** A token for {@link TOKEN_LIFE_MS}. `subject`: who uses it, for the sandbox's log. */
  make(subject: string, covers: Covers): Promise<string> {
    return this.#mint.mint({ subject, expiresAtMs: this.#now() + this.#aheadMs + TOKEN_LIFE_MS, ...covers });
  }

  /**
   * The sandbox refused a new token as expired at this time of its clock, milliseconds since the Unix epoch: make tokens by that from now on. Returns by how
   * many milliseconds this machine's is slow; `undefined` where that was known already, or can't be believed.
   */
  setClock(nowMs: number): number | undefined {
    const aheadMs = nowMs - this.#now();
    const canBe = Number.isFinite(aheadMs) && Math.abs(aheadMs) <= MAX_CLOCK_CORRECTION_MS;
    if (!canBe || Math.abs(aheadMs - this.#aheadMs) < 1000) return undefined;
    this.#aheadMs = aheadMs;
    return aheadMs;
  }
}
