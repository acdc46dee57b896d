import { type Claims, TokenMint } from "@serverless-harness/kit/token";

/** How the dispatcher proves itself to hands. */
export type SandboxCredential =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string }
  /** The key that tokens are made with. */
  | { readonly kind: "key"; readonly privateKeyPem: string };

/** What a token covers. */
export type Covers = Pick<Claims, "scopes" | "epoch" | "operations">;

/** How long a token is good, in milliseconds. */
export const TOKEN_LIFE_MS = 5 * 60_000;

/** Makes tokens for the sandbox: the one place that knows the key and what a token looks like. */
export class SandboxTokens {
  readonly #mint: TokenMint;
  readonly #now: () => number;

  /** `now`: this machine's clock. Default: the real one. */
  constructor(privateKeyPem: string, now: () => number = Date.now) {
    this.#mint = new TokenMint(privateKeyPem);
    this.#now = now;
  }

  /** A token for {@link TOKEN_LIFE_MS}. `subject`: who uses it, for the sandbox's log. */
  make(subject: string, covers: Covers): string {
    return this.#mint.mint({ subject, audience: "hands", expiresAtMs: this.#now() + TOKEN_LIFE_MS, ...covers });
  }
}
