import { Code } from "@connectrpc/connect";
import { type ChainedLog, LogUnwritable } from "@serverless-harness/kit/chained-log/writer";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Caller } from "../callers/caller.ts";
import type { Action, Audit, Details } from "./audit.ts";
import { DenialBound } from "./denial-bound.ts";

/** How often the log is written through to the disk, tried again if it takes no line, and told of denials that were only counted, in milliseconds. */
const LOOK_MS = 1000;
/** Names and ids are shorter: what a stranger sends in place of one is cut. */
const MAX_TEXT = 256;

/** Writes the record into a chained log. */
export class AuditLog implements Audit {
  readonly #log: ChainedLog;
  readonly #refuses: boolean;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  readonly #strangers = new DenialBound();
  readonly #known = new DenialBound();
  #told = false;
  #closing: Promise<void> | undefined;
  #syncing: Promise<void> = Promise.resolve();

  /** `refuses`: nothing is done that can't be written down. */
  constructor(log: ChainedLog, refuses: boolean, logger: Logger) {
    this.#log = log;
    this.#refuses = refuses;
    this.#logger = logger;
    this.#write({ action: "dispatcher.started", pid: process.pid });
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  async act<T>(
    caller: Caller,
    act: Details & { readonly action: Action },
    work: () => Promise<T>,
    outcome: (result: T) => Details = () => ({}),
  ): Promise<T> {
    const { action } = act;
    const asked = this.#write({ ...act, ...by(caller), stage: "asked" });
    if (asked === undefined && this.#refuses) throw unavailable();
    // What happened has happened: a line that can't be written from here on is counted as lost.
    const of = asked ?? 0;
    try {
      const result = await work();
      this.#write({ ...outcome(result), action, of, stage: "done" });
      return result;
    } catch (error) {
      const known = error instanceof HarnessError;
      this.#write({ action, of, stage: known ? "refused" : "failed", reason: known ? error.reason : "internal" });
      throw error;
    }
  }

  noted(action: "webhooks.changed", details: Details): void {
    this.#write({ ...details, action, by: "operator" });
  }

  denied(caller: Caller | undefined, call: string, reason: string): void {
    const bound = caller === undefined ? this.#strangers : this.#known;
    if (bound.take(performance.now())) this.#write({ action: "denied", call, reason, ...(caller === undefined ? {} : by(caller)) });
  }

  problem(): { text: string; refuses: boolean } | undefined {
    const { problem } = this.#log;
    if (problem === undefined) return undefined;
    const meanwhile = this.#refuses ? "nothing is submitted, decided or changed until it does" : "what happens meanwhile is not recorded";
    return { text: `the audit log takes no lines, and ${meanwhile}: make room on its disk`, refuses: this.#refuses };
  }

  /** Write the last line and let go of the file. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.#tellCounted();
    this.#write({ action: "dispatcher.stopped" });
    await this.#syncing;
    await this.#sync();
    this.#log.close();
  }

  #look(): void {
    this.#log.retry();
    this.#tellProblem();
    this.#tellCounted();
    this.#syncing = this.#syncing.then(() => this.#sync());
  }

  async #sync(): Promise<void> {
    await this.#log.sync().catch((error: unknown) => this.#logger.error({ err: error }, "the audit log can't be written to its disk"));
  }

  /** Denials that were too many to be written down one by one. */
  #tellCounted(): void {
    const [strangers, known] = [this.#strangers.counted(), this.#known.counted()];
    if (strangers > 0) this.#write({ action: "denied.more", count: strangers, with_token: false });
    if (known > 0) this.#write({ action: "denied.more", count: known, with_token: true });
  }

  /** Returns the line's number; `undefined` if it could not be written. */
  #write({ action, ...details }: Details & { readonly action: string }): number | undefined {
    try {
      return this.#log.append({ action, ...cut(details) });
    } catch (error) {
      if (!(error instanceof LogUnwritable)) throw error;
      this.#tellProblem();
      return undefined;
    }
  }

  /** Once when it begins and once when it is over, not with each line. */
  #tellProblem(): void {
    const problem = this.problem();
    if ((problem !== undefined) === this.#told) return;
    this.#told = problem !== undefined;
    if (problem === undefined) this.#logger.info("the audit log takes lines again");
    else this.#logger.error({ problem: this.#log.problem }, problem.text);
  }
}

/** Who it was, as the token says it. */
function by({ kind, tenant, subject, tokenId }: Caller): Details {
  return { by: kind, by_tenant: tenant, subject: subject || undefined, token_id: tokenId };
}

function cut(details: Details): Details {
  const shorter = (value: Details[string]) =>
    typeof value === "string" && value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}...` : value;
  return Object.fromEntries(Object.entries(details).map(([name, value]) => [name, shorter(value)]));
}

function unavailable(): HarnessError {
  const text = "the audit log can't be written, and nothing is done that it would not tell of: try again, or tell the operator";
  return new HarnessError(Code.Unavailable, "audit_unavailable", text, { retryAfterMs: 5000 });
}
