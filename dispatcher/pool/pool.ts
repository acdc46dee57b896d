import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { LeafStore } from "@serverless-harness/session";
import { Chore } from "../chore.ts";
import type { SandboxKeys } from "../sandbox/sandbox.ts";
import { type Covers, SandboxTokens, TOKEN_LIFE_MS } from "../sandbox/sandbox-tokens.ts";
import type { PoolConfig } from "./config.ts";
import { Member, type MemberOptions } from "./member.ts";
import { Slots } from "./slots.ts";
import type { FoundSandbox, SandboxSource } from "./source.ts";

/** Sandboxes that are asked at once, of each kind: who hangs keeps no other kind waiting. */
const [THERE_AT_ONCE, SILENT_AT_ONCE, AWAY_AT_ONCE] = [64, 64, 8];
/** One that was not heard of for longer is asked as there is time. */
const SILENT_MS = 60_000;
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

  /** ALREADY_EXISTS `name_taken` if a sandbox that dials in may not have this name: another tenant's had it last, or it is one that is found elsewhere. */
  async requireName(name: string, tenant: string): Promise<void> {
    const { sandboxes } = await this.#options.store.sandboxes.list();
    const isTaken = sandboxes.some((each) => each.name === name && each.tenant !== tenant);
    if (!isTaken) return;
    throw new HarnessError(Code.AlreadyExists, "name_taken", `another sandbox is known as ${name}: use another name`);
  }

  /** Look for sandboxes, and begin to ask them: whoever hangs holds nobody up. */
  async #look(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#options.sources.map((source) => this.#lookAgain(source)));
    this.#take(this.#options.sources.flatMap((source) => source.found()));
    const known = await this.#options.store.sandboxes.list();
    if (signal.aborted) return;
    const silentSince = performance.now() - SILENT_MS;
    const isAway = ({ isThere, heardAtMs }: Member): boolean => !isThere && heardAtMs < silentSince;
    const away = this.members().filter(isAway);
    const room = Math.max(0, AWAY_AT_ONCE - away.filter(({ isAsked }) => isAsked).length);
    for (const member of this.members().filter((each) => !each.isAsked && !isAway(each)))
      this.#begin(member, () => (member.isThere ? this.#there : this.#silent).use(() => member.ask(known)));
    for (const member of away.filter(({ isAsked }) => !isAsked).slice(0, room)) {
      // Next time the others come first.
      this.#members.delete(member.found.name);
      this.#members.set(member.found.name, member);
      this.#begin(member, () => member.ask(known));
    }
  }

  #begin(member: Member, ask: () => Promise<void>): void {
    member.isAsked = true;
    const asking = ask().finally(() => this.#asks.delete(asking));
    this.#asks.add(asking);
  }

  async #lookAgain(source: SandboxSource): Promise<void> {
    try {
      await source.look?.();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#tell(why, () => this.#options.log.warn({ err: error }, "sandboxes could not be looked for: those that were found go on"));
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

function isSame(a: FoundSandbox | undefined, b: FoundSandbox): boolean {
  return a !== undefined && a.address === b.address && a.tenant === b.tenant;
}
