import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fromConnectError } from "@serverless-harness/kit/errors";
import type { Context } from "../context.ts";
import { CliError, ExitCode } from "../errors.ts";
import { type Connection, type JoinedPlan, startJoined } from "../stack/joined.ts";
import { counted } from "../view/format.ts";
import { connect } from "./call.ts";
import { type JoinedDispatcher, refusedBy } from "./join.ts";

const POLL_MS = 500;
const SAME_PRESS_MS = 300;
/** A dispatcher's refusal, as the sandbox tells it. */
const REFUSAL = /^it answered (4\d\d): (.*)$/s;
const STATUS_REASONS: Readonly<Record<string, string>> = { 409: "name_taken" };

/** This machine as a sandbox of a dispatcher elsewhere, from its first connection until it has left. */
export class Membership {
  readonly #context: Context;
  readonly #plan: JoinedPlan;
  readonly #dispatcher: JoinedDispatcher;
  readonly #left = new AbortController();
  #wasConnected = false;
  #failure: CliError | undefined;

  constructor(context: Context, plan: JoinedPlan, dispatcher: JoinedDispatcher) {
    this.#context = context;
    this.#plan = plan;
    this.#dispatcher = dispatcher;
  }

  /** Until Ctrl-C or SIGTERM, and then until what is here is elsewhere. Throws if the dispatcher does not take the sandbox, or that can't run. */
  async run(): Promise<void> {
    const { child, lastLine } = startJoined(this.#plan, (connection) => this.#told(connection));
    const end = (): void => void child.kill("SIGTERM");
    this.#left.signal.addEventListener("abort", end);
    let askedAt: number | undefined;
    const leave = (): void => {
      // One Ctrl-C may come twice: from the terminal, and from the process that started this one.
      if (askedAt !== undefined && performance.now() - askedAt < SAME_PRESS_MS) return;
      const isFirst = askedAt === undefined;
      askedAt = performance.now();
      if (isFirst && this.#wasConnected) void this.#empty().finally(() => this.#left.abort());
      else this.#left.abort();
    };
    process.on("SIGINT", leave).on("SIGTERM", leave);
    try {
      const [code] = (await once(child, "close").catch((error: Error) => {
        throw new CliError(ExitCode.refused, "no_setpriv", `${error.message}: install util-linux`, error);
      })) as [number | null];
      if (this.#failure !== undefined) throw this.#failure;
      if (!this.#left.signal.aborted) {
        const message = `the sandbox ended with ${code ?? "a signal"}: ${lastLine()}; all that it said is in ${this.#plan.paths.log}`;
        throw new CliError(ExitCode.refused, "sandbox_ended", message);
      }
      if (this.#wasConnected) await this.#forget();
      this.#show("left", `${this.#plan.name} has left ${this.#plan.url}`);
    } finally {
      process.off("SIGINT", leave).off("SIGTERM", leave);
    }
  }

  #told({ problem }: Connection): void {
    const { name, url } = this.#plan;
    const [, status, message = ""] = REFUSAL.exec(problem ?? "") ?? [];
    if (problem === undefined) {
      this.#wasConnected = true;
      this.#show("connected", `${name} is a sandbox of ${url}; Ctrl-C drains it and leaves`);
    } else if (this.#wasConnected || status === undefined) {
      // What was taken once may be refused while its last connection is not given up yet.
      const what = this.#wasConnected ? "lost" : "can't reach";
      this.#show("lost", `${what} ${url}: ${problem}; dials again until it is back`);
    } else {
      this.#failure = refusedBy(url, Number(status), STATUS_REASONS[status] ?? "refused", message);
      this.#left.abort();
    }
  }

  /** Take no more sessions, and wait until those that are here have gone. Never rejects: what can't be moved goes on from its snapshots. */
  async #empty(): Promise<void> {
    const { name } = this.#plan;
    const { out } = this.#context;
    const dispatcher = connect(this.#dispatcher, this.#dispatcher.ca);
    let told = "";
    try {
      await dispatcher.sandboxes.drainSandbox({ name });
      while (!this.#left.signal.aborted) {
        const { sandboxes } = await dispatcher.sandboxes.listSandboxes({});
        const own = sandboxes.find((each) => each.name === name);
        if (own === undefined || (own.working === 0 && own.placed === 0)) return;
        const text = `drains: ${counted(own.placed, "session")} here, ${own.working} at work; Ctrl-C leaves at once`;
        if (text !== told) this.#show("draining", text);
        told = text;
        await sleep(POLL_MS, undefined, { signal: this.#left.signal }).catch(() => undefined);
      }
    } catch (error) {
      out.warn(`can't be drained (${fromConnectError(error).message}): its sessions go on elsewhere from their last snapshots`);
    } finally {
      dispatcher.close();
    }
  }

  /** A pool that does not hear of a sandbox any more calls it away until it is removed. */
  async #forget(): Promise<void> {
    const dispatcher = connect(this.#dispatcher, this.#dispatcher.ca);
    try {
      await dispatcher.sandboxes.removeSandbox({ name: this.#plan.name, force: true });
    } catch (error) {
      this.#context.out.note(
        `the dispatcher still lists ${this.#plan.name}: ${fromConnectError(error).message}; there, \`leaf sandbox remove ${this.#plan.name}\` forgets it`,
      );
    } finally {
      dispatcher.close();
    }
  }

  #show(state: string, text: string): void {
    const { out } = this.#context;
    if (out.json) out.document({ state, name: this.#plan.name, url: this.#plan.url, text }, true);
    else out.line(text);
  }
}
