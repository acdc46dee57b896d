import { isEncrypted, parseTarget } from "@serverless-harness/kit/address";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { askHealth } from "@serverless-harness/kit/health-check";
import type { Logger } from "@serverless-harness/kit/log";

/** How long an answer is good: whoever asks often does not ask the sandbox each time. */
const FRESH_MS = 1000;

/** Asks whether the sandbox that brains use is there. */
export class SandboxProbe {
  readonly #address: string | undefined;
  readonly #log: Logger;
  #asked: { readonly at: number; readonly problem: Promise<string | undefined> } | undefined;
  #wasAway = false;

  /** `address`: of hands, as brains get it; `undefined`: they get it elsewhere, and nothing is asked. */
  constructor(address: string | undefined, log: Logger) {
    this.#address = address;
    this.#log = log;
  }

  /** What is wrong with the sandbox, and what to do; `undefined` if it serves. Never rejects. */
  problem(): Promise<string | undefined> {
    const now = performance.now();
    if (this.#asked === undefined || now - this.#asked.at > FRESH_MS) this.#asked = { at: now, problem: this.#ask() };
    return this.#asked.problem;
  }

  async #ask(): Promise<string | undefined> {
    const target = parseTarget(this.#address ?? "");
    // Of one that can't be read, or whose certificate is to be checked, brains tell: they have its settings.
    if (target === undefined || isEncrypted(target.address)) return undefined;
    try {
      return this.#told((await askHealth(target)) ? undefined : "it is stopping");
    } catch (error) {
      return this.#told(fromConnectError(error).message);
    }
  }

  #told(why: string | undefined): string | undefined {
    const isAway = why !== undefined;
    if (isAway !== this.#wasAway) {
      this.#wasAway = isAway;
      if (isAway) this.#log.error({ sandbox: this.#address, why }, "the sandbox is away: leaves wait until it is back");
      else this.#log.info({ sandbox: this.#address }, "the sandbox is back");
    }
    return isAway
      ? `the sandbox at ${this.#address} is away (${why}), so leaves wait for it: start hands again, its log tells why it ended`
      : undefined;
  }
}
