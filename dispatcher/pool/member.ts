import { parseTarget } from "@serverless-harness/kit/address";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Sandbox as KnownSandbox } from "@serverless-harness/proto/leaf";
import type { Sandboxes, SandboxReport } from "@serverless-harness/session";
import { Sandbox, type SandboxAccess } from "../sandbox/sandbox.ts";
import type { FoundSandbox } from "./source.ts";

/** So often in a row a sandbox has to say that it has another state than before, until that is believed. */
const STEADY = 3;

/** What members share. */
export interface MemberOptions {
  readonly sandboxes: Pick<Sandboxes, "report">;
  readonly access: SandboxAccess;
  /** How long an answer is waited for, and for how long one counts, in milliseconds. */
  readonly timeoutMs: number;
  readonly aliveMs: number;
  /** Sessions at most, whatever a sandbox says; 0: as it says. */
  readonly capacity: number;
  readonly log: Logger;
}

/** What the store knows of all sandboxes. */
export interface KnownSandboxes {
  readonly sandboxes: readonly KnownSandbox[];
  readonly nowMs: number;
}

/** One sandbox that was found: asks it who it is, and reports to the store what it answers. */
export class Member {
  readonly found: FoundSandbox;
  readonly sandbox: Sandbox;
  /** Why it is not reported; empty: it is. */
  problem = "it was not asked yet";
  /** An ask is under way. */
  isAsked = false;
  /** Since when it is there, by this process's steady clock. */
  thereSinceMs = 0;
  /** When it answered last or, before that, was found, by this process's steady clock. */
  heardAtMs = performance.now();
  readonly #options: MemberOptions;
  #isClosed = false;
  /** The state that it said last, how often in a row, and whether that is enough. */
  #stateId: string | undefined;
  #times = 0;
  #isSteady = true;

  constructor(found: FoundSandbox, options: MemberOptions) {
    const target = parseTarget(found.address);
    if (target === undefined) throw new Error(`no address: ${found.address}`);
    this.found = found;
    this.sandbox = new Sandbox({ target, ...options.access }, options.log);
    this.#options = options;
  }

  /** It answers, and nothing speaks against it. */
  get isThere(): boolean {
    return this.problem === "";
  }

  /** The state that it is believed to have. */
  get stateId(): string | undefined {
    return this.#stateId;
  }

  /** It may have sessions of this tenant: whatever it says, it gets no token for those of others. */
  serves(tenant: string): boolean {
    return this.found.tenant === "" || this.found.tenant === tenant;
  }

  /** Ask it. Returns what is to be reported of it; `undefined`: nothing. Never rejects. */
  ask(known: KnownSandboxes): Promise<SandboxReport | undefined> {
    return this.#unlessItFails(async () => {
      if (this.#isClosed) return undefined;
      const said = await this.sandbox.describe(this.#options.timeoutMs);
      this.heardAtMs = performance.now();
      const refusal = this.#believes(said.stateId) ? this.#conflict(said.stateId, known) : "it answers as another sandbox than before";
      if (refusal !== undefined) return this.#becomes(refusal);
      const { capacity: most } = this.#options;
      const capacity = most === 0 || (said.capacity !== 0 && said.capacity < most) ? said.capacity : most;
      return { ...this.found, stateId: said.stateId, labels: said.labels, capacity };
    });
  }

  /** Report it to the store. Never rejects. */
  async report(report: SandboxReport): Promise<void> {
    const { sandboxes, aliveMs } = this.#options;
    await this.#unlessItFails(async () => {
      if (this.#isClosed) return;
      await sandboxes.report(report, aliveMs);
      this.#becomes("");
    });
  }

  /** Ask no more. */
  close(): void {
    this.#isClosed = true;
    this.sandbox.close();
  }

  /** One that says another state each time is one address of several sandboxes, or lies. */
  #believes(stateId: string): boolean {
    if (stateId === this.#stateId) this.#times += 1;
    else {
      this.#isSteady = this.#stateId === undefined;
      this.#stateId = stateId;
      this.#times = 1;
    }
    this.#isSteady ||= this.#times >= STEADY;
    return this.#isSteady;
  }

  /** Why it can't be reported beside what is known; of two that can't be there both, the one that is there stays. */
  #conflict(stateId: string, { sandboxes, nowMs }: KnownSandboxes): string | undefined {
    const { name, address, tenant } = this.found;
    const there = sandboxes.filter(({ aliveUntilMs }) => Number(aliveUntilMs) > nowMs);
    const yields = (other: string, own: string): boolean => !this.isThere || other < own;
    const namesake = there.find((each) => each.name === name && each.address !== address);
    const isAnother = namesake !== undefined && (namesake.stateId !== stateId || namesake.tenant !== tenant);
    if (isAnother && yields(namesake.address, address)) return `another sandbox has its name, at ${namesake.address}`;
    const twin = there.find((each) => each.name !== name && each.stateId === stateId);
    if (twin !== undefined && yields(twin.name, name)) return `it is ${twin.name} already, or says so`;
    return undefined;
  }

  async #unlessItFails<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { log } = this.#options;
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof HarnessError)) log.error({ err: error, sandbox: this.found.name }, "a sandbox could not be asked");
      this.#becomes(error instanceof HarnessError ? error.message : "it could not be asked: see the log");
      return undefined;
    }
  }

  /** What lasts is told once. */
  #becomes(problem: string): undefined {
    if (problem === this.problem || this.#isClosed) return;
    const { log } = this.#options;
    const { name: sandbox, address } = this.found;
    this.problem = problem;
    this.thereSinceMs = performance.now();
    if (problem === "") log.info({ sandbox, address }, "a sandbox of the pool is there");
    else log.warn({ sandbox, address, why: problem }, "a sandbox of the pool is not used");
  }
}
