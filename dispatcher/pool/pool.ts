import { Code } from "@connectrpc/connect";
import { parseTarget } from "@serverless-harness/kit/address";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Sandbox as KnownSandbox } from "@serverless-harness/proto/leaf";
import type { LeafStore, SandboxReport } from "@serverless-harness/session";
import { Chore } from "../chore.ts";
import { Sandbox, type SandboxKeys } from "../sandbox/sandbox.ts";
import { type Covers, SandboxTokens, TOKEN_LIFE_MS } from "../sandbox/sandbox-tokens.ts";
import type { PoolConfig } from "./config.ts";
import { type KnownSandboxes, Member, type MemberOptions } from "./member.ts";
import { Slots } from "./slots.ts";
import type { FoundSandbox, SandboxSource } from "./source.ts";

/** Sandboxes that are asked at once, of each kind: who hangs keeps no other kind waiting. */
const [THERE_AT_ONCE, SILENT_AT_ONCE, AWAY_AT_ONCE] = [64, 64, 8];
/** One that was not heard of for longer is asked as there is time. */
const SILENT_MS = 60_000;
/** A sandbox that is away for so long is forgotten, unless somebody had it drained. */
const FORGOTTEN_AFTER_MS = 24 * 3_600_000;
/** Refusals that are remembered, so that each is told once. */
const MAX_TOLD = 10_000;

/** What a pool stands on. */
export interface PoolOptions {
  readonly store: Pick<LeafStore, "sandboxes">;
  readonly config: Pick<PoolConfig, "askMs" | "aliveMs" | "capacity" | "access">;
  /** Of two sandboxes with one name, or one address, the one of the first source counts. */
  readonly sources: readonly SandboxSource[];
  readonly log: Logger;
}

/** Keeps the store's pool of sandboxes: asks each one that is found who it is, again and again, and reports those that answer. Any number of dispatchers do so. */
export class Pool implements SandboxKeys {
  readonly tokenLifeMs = TOKEN_LIFE_MS;
  readonly #options: PoolOptions;
  /** For sandboxes that were not found here. */
  readonly #tokens: SandboxTokens | undefined;
  readonly #shared: MemberOptions;
  readonly #chore: Chore;
  readonly #members = new Map<string, Member>();
  readonly #there = new Slots(THERE_AT_ONCE);
  readonly #silent = new Slots(SILENT_AT_ONCE);
  readonly #asks = new Set<Promise<void>>();
  readonly #told = new Set<string>();
  /** Why a source could not be looked at. */
  readonly #troubles = new Map<SandboxSource, string>();
  /** Nobody was asked yet. What answers to the first round is reported together: if no dispatcher was there for a while, no session leaves a sandbox only because another one is reported sooner. */
  #isFirst = true;

  constructor(options: PoolOptions) {
    const { store, config, log } = options;
    const { askMs, aliveMs, capacity, access } = config;
    this.#options = options;
    this.#tokens = access.credential.kind === "key" ? new SandboxTokens(access.credential.privateKeyPem) : undefined;
    this.#shared = { sandboxes: store.sandboxes, access, timeoutMs: aliveMs - askMs, aliveMs, capacity, log };
    this.#chore = new Chore({
      intervalMs: askMs,
      work: (signal) => this.#look(signal),
      failed: "the store could not be asked for the pool of sandboxes: tried again",
      log,
    });
  }

  /** Begin to look for sandboxes and to ask them. */
  start(): void {
    this.#chore.start();
  }

  /** Ask no more; what is known in the store goes on for as long as it was reported. */
  async stop(): Promise<void> {
    await this.#chore.stop();
    for (const member of this.#members.values()) member.close();
    for (const source of this.#options.sources) source.close?.();
    await Promise.all(this.#asks);
  }

  /** Those that were found here. */
  members(): readonly Member[] {
    return [...this.#members.values()];
  }

  get mintsTokens(): boolean {
    return this.#tokens !== undefined;
  }

  async makeToken(subject: string, covers: Covers, sandbox = ""): Promise<string> {
    const known = this.#members.get(sandbox)?.sandbox;
    if (known !== undefined) return await known.makeToken(subject, covers);
    if (this.#tokens === undefined) throw new Error("without the key there are no tokens");
    return await this.#tokens.make(subject, covers);
  }

  async learnClock(sandbox = ""): Promise<void> {
    await this.#members.get(sandbox)?.sandbox.learnClock();
  }

  /** The sandbox of this name, if it was found here, answers, and has this state. */
  member({ name, stateId }: Pick<KnownSandbox, "name" | "stateId">): Member | undefined {
    const member = this.#members.get(name);
    return member?.isThere === true && member.stateId === stateId ? member : undefined;
  }

  /**
   * Delete a session's workspace for good, wherever it has one, with its snapshots, and forget its place; unless it has a newer owner than `epoch`. Idempotent.
   * Throws HarnessErrors: `stale_epoch` if it has, `sandbox_away` if something of it is where nobody can be asked, UNAVAILABLE if no sandbox is there.
   */
  async deleteWorkspace(workspace: string, epoch: bigint, signal: AbortSignal): Promise<void> {
    const [tenant = "", sessionId = ""] = workspace.split("/");
    const { sandboxes: places } = this.#options.store;
    const names = await places.where(tenant, sessionId);
    const { sandboxes, nowMs } = await places.list();
    const isThere = ({ aliveUntilMs }: KnownSandbox): boolean => Number(aliveUntilMs) > nowMs;
    const serves = (each: KnownSandbox): boolean => each.tenant === "" || each.tenant === tenant;
    const own = sandboxes.filter((each) => names.includes(each.name) && serves(each));
    const away = own.find((each) => !isThere(each));
    if (away !== undefined) throw sandboxAway(away.name);
    // Any one can delete the snapshots, as all share them.
    const shared = sandboxes
      .filter((each) => isThere(each) && serves(each))
      .toSorted((a, b) => Number(a.tenant !== "") - Number(b.tenant !== ""));
    const any = shared.slice(0, 1);
    if (any.length === 0) throw noneThere();
    for (const sandbox of own.length > 0 ? own : any) await this.#at(sandbox, (at) => at.deleteWorkspace(workspace, epoch, signal));
    await places.forget(tenant, sessionId);
  }

  /** Do something at a sandbox, whether or not it was found here. */
  async #at<T>({ name, address, stateId }: KnownSandbox, work: (sandbox: Sandbox) => Promise<T>): Promise<T> {
    const member = this.member({ name, stateId });
    if (member !== undefined) return await work(member.sandbox);
    const target = parseTarget(address);
    if (target === undefined) throw sandboxAway(name);
    return await work(new Sandbox({ target, ...this.#options.config.access }, this.#options.log));
  }

  /** ALREADY_EXISTS `name_taken` if a sandbox that dials in may not have this name: another tenant's had it last, or it is known as one that serves others. */
  async requireName(name: string, tenant: string): Promise<void> {
    const { sandboxes } = await this.#options.store.sandboxes.list();
    const isTaken = sandboxes.some((each) => each.name === name && each.tenant !== tenant);
    if (!isTaken) return;
    throw new HarnessError(Code.AlreadyExists, "name_taken", `another sandbox is known as ${name}: use another name`);
  }

  /** Look for sandboxes, and begin to ask them: whoever hangs holds nobody up. */
  async #look(signal: AbortSignal): Promise<void> {
    const looked = Promise.all(this.#options.sources.map((source) => this.#lookAgain(source)));
    // A name server that hangs holds nobody up: what it says counts the next time.
    if (this.#isFirst) await looked;
    this.#take(this.#options.sources.flatMap((source) => source.found()));
    const known = await this.#options.store.sandboxes.list();
    if (signal.aborted) return;
    await this.#forgetLost(known);
    const silentSince = performance.now() - SILENT_MS;
    const isAway = ({ isThere, heardAtMs }: Member): boolean => !isThere && heardAtMs < silentSince;
    const away = this.members().filter(isAway);
    const room = Math.max(0, AWAY_AT_ONCE - away.filter(({ isAsked }) => isAsked).length);
    const asked = this.members().filter((each) => !each.isAsked && !isAway(each));
    const answered = this.#isFirst && asked.length > 0 ? meeting(asked.length, this.#options.config.aliveMs) : undefined;
    this.#isFirst = false;
    for (const member of asked) {
      const slots = member.isThere ? this.#there : this.#silent;
      this.#begin(member, () => slots.use(() => member.ask(known)), answered);
    }
    for (const member of away.filter(({ isAsked }) => !isAsked).slice(0, room)) {
      // Next time the others come first.
      this.#members.delete(member.found.name);
      this.#members.set(member.found.name, member);
      this.#begin(member, () => member.ask(known));
    }
  }

  /** `answered`: waits for those that are asked together. */
  #begin(member: Member, ask: () => Promise<SandboxReport | undefined>, answered?: () => Promise<void>): void {
    member.isAsked = true;
    const work = async (): Promise<void> => {
      const report = await ask();
      await answered?.();
      if (report !== undefined) await member.report(report);
      member.isAsked = false;
    };
    const asking = work().finally(() => this.#asks.delete(asking));
    this.#asks.add(asking);
  }

  /** Names of the DNS that come and go would fill the store. */
  async #forgetLost({ sandboxes, nowMs }: KnownSandboxes): Promise<void> {
    const lost = sandboxes.filter(({ draining, aliveUntilMs }) => !draining && Number(aliveUntilMs) < nowMs - FORGOTTEN_AFTER_MS);
    for (const { name, placed } of lost) {
      await this.#options.store.sandboxes.remove(name);
      this.#options.log.info({ sandbox: name, sessions: placed }, "a sandbox was away for a day: it is forgotten");
    }
  }

  async #lookAgain(source: SandboxSource): Promise<void> {
    try {
      await source.look?.();
      this.#troubles.delete(source);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (this.#troubles.get(source) !== why)
        this.#options.log.warn({ err: error }, "sandboxes could not be looked for: those that were found go on");
      this.#troubles.set(source, why);
    }
  }

  /** Have a member for each that was found, and for no other. */
  #take(found: readonly FoundSandbox[]): void {
    const names = new Map<string, FoundSandbox>();
    const addresses = new Map<string, FoundSandbox>();
    for (const each of found) {
      const first = names.get(each.name) ?? addresses.get(each.address);
      if (first === undefined) {
        names.set(each.name, each);
        addresses.set(each.address, each);
      } else if (first.name !== each.name || first.address !== each.address) this.#refuse(each, first);
    }
    for (const [name, member] of this.#members) {
      if (isSame(names.get(name), member.found)) continue;
      member.close();
      this.#members.delete(name);
    }
    for (const [name, each] of names) if (!this.#members.has(name)) this.#members.set(name, new Member(each, this.#shared));
  }

  #refuse({ name, address }: FoundSandbox, first: FoundSandbox): void {
    this.#tell(`${name} ${address}`, () =>
      this.#options.log.warn(
        { sandbox: name, address, first },
        "a second sandbox with a name or an address of another one is not used: give it its own",
      ),
    );
  }

  #tell(what: string, log: () => void): void {
    if (this.#told.has(what)) return;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.add(what);
    log();
  }
}

function sandboxAway(name: string): HarnessError {
  return new HarnessError(Code.FailedPrecondition, "sandbox_away", `the sandbox ${name} is away: wait until it is back, or remove it`);
}

function noneThere(): HarnessError {
  return new HarnessError(Code.Unavailable, "no_sandbox", "no sandbox of the pool is there");
}

/** Resolves when so many have called it, or after `patienceMs`. */
function meeting(count: number, patienceMs: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patienceMs);
  let missing = count;
  return () => {
    missing -= 1;
    if (missing === 0) {
      clearTimeout(timer);
      resolve();
    }
    return promise;
  };
}

function isSame(a: FoundSandbox | undefined, b: FoundSandbox): boolean {
  return a !== undefined && a.address === b.address && a.tenant === b.tenant;
}
