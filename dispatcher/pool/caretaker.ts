import { randomUUID } from "node:crypto";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { newId } from "@serverless-harness/kit/ids";
import type { Logger } from "@serverless-harness/kit/log";
import { type LeafStore, type PlacedSession, sessionKey } from "@serverless-harness/session";
import { Chore } from "../chore.ts";
import type { Member } from "./member.ts";
import { removeOldCopies } from "./old-copies.ts";
import type { Pool } from "./pool.ts";
import { Slots } from "./slots.ts";

const LOOK_MS = 1000;
/** One dispatcher at a time takes care of a sandbox, unless a batch takes longer: a second one then does no harm. */
const DUTY_MS = 30_000;
/** Sandboxes whose old copies are looked for at once. */
const CARED_AT_ONCE = 32;
/** Sessions of one sandbox that are moved at once, and that are taken up together. */
const [MOVED_AT_ONCE, TAKEN_UP] = [8, 32];
/** Idle sessions of a sandbox that are looked at. */
const LOOKED_AT = 1000;
/** A session that can't be moved, and a sandbox that can't be taken care of, is tried again after this time. */
const REST_MS = 10_000;
/** Old copies are looked for when a sandbox comes, and this often. */
const COPIES_EVERY_MS = 10 * 60_000;

/** What a {@link Caretaker} stands on. */
export interface CaretakerOptions {
  readonly store: Pick<LeafStore, "sandboxes" | "takeDuty" | "leaveDuty">;
  readonly pool: Pool;
  /** How long nobody takes over from a dispatcher that is killed, in milliseconds. Default 30 s. */
  readonly dutyMs?: number;
  readonly log: Logger;
}

/**
 * Empties sandboxes that drain, without a brain: of each session that sleeps there a snapshot is made durable, then it is taken out of its sandbox, then its
 * files there are deleted. Whoever is killed in between leaves nothing that is lost, and the rest to the next one. Also removes old copies of sessions.
 */
export class Caretaker {
  readonly #options: CaretakerOptions;
  readonly #chore: Chore;
  readonly #holder = randomUUID();
  /** What is under way, by sandbox. */
  readonly #busy = new Map<string, Promise<void>>();
  /** Since when a sandbox or a session is left alone, and why. */
  readonly #resting = new Map<string, { readonly sinceMs: number; readonly why: string }>();
  /** When the copies of a member were looked at. */
  readonly #lookedAt = new WeakMap<Member, number>();

  constructor(options: CaretakerOptions) {
    this.#options = options;
    this.#chore = new Chore({
      intervalMs: LOOK_MS,
      work: (signal) => this.#look(signal),
      failed: "the store could not be asked which sandboxes drain: tried again",
      log: options.log,
    });
  }

  start(): void {
    this.#chore.start();
  }

  /** Begin with nothing more; resolves when what is under way is done or given up. */
  async stop(): Promise<void> {
    await this.#chore.stop();
    await Promise.all(this.#busy.values());
  }

  /** Whoever hangs holds nobody up. */
  async #look(signal: AbortSignal): Promise<void> {
    const { store, pool } = this.#options;
    for (const sandbox of (await store.sandboxes.list()).sandboxes) {
      const { name, draining, placed } = sandbox;
      const member = pool.member(sandbox);
      if (member === undefined || this.#busy.has(name) || this.#rests(name, member)) continue;
      const isEmptied = draining && placed > 0;
      if (!isEmptied && (this.#busy.size >= CARED_AT_ONCE || !this.#hasUnseenCopies(member))) continue;
      const work = this.#care(member, isEmptied, signal).finally(() => this.#busy.delete(name));
      this.#busy.set(name, work);
    }
  }

  #hasUnseenCopies(member: Member): boolean {
    const lookedAt = this.#lookedAt.get(member) ?? Number.NEGATIVE_INFINITY;
    return lookedAt < member.thereSinceMs || lookedAt < performance.now() - COPIES_EVERY_MS;
  }

  /** Never rejects. */
  async #care(member: Member, isEmptied: boolean, signal: AbortSignal): Promise<void> {
    const { store, dutyMs = DUTY_MS, log } = this.#options;
    const { name } = member.found;
    const duty = `sandbox ${name}`;
    try {
      if (!(await store.takeDuty(duty, this.#holder, dutyMs))) return;
      try {
        if (isEmptied) await this.#empty(member, duty, signal);
        const at = performance.now();
        if (this.#hasUnseenCopies(member)) await removeOldCopies(member, store, signal, log);
        this.#lookedAt.set(member, at);
      } finally {
        await store.leaveDuty(duty, this.#holder);
      }
    } catch (error) {
      const isNew = this.#rest(name, error instanceof Error ? error.message : String(error));
      if (isNew && !signal.aborted) log.warn({ err: error, sandbox: name }, "a sandbox could not be taken care of: tried again");
    }
  }

  /** Move all that sleeps there, until somebody lets it take sessions again. */
  async #empty(member: Member, duty: string, signal: AbortSignal): Promise<void> {
    const { store, pool, dutyMs = DUTY_MS, log } = this.#options;
    const { name } = member.found;
    const slots = new Slots(MOVED_AT_ONCE);
    let moved = 0;
    while (!signal.aborted) {
      const sandbox = (await store.sandboxes.list()).sandboxes.find((each) => each.name === name);
      if (sandbox === undefined || !sandbox.draining || pool.member(sandbox) !== member) break;
      const idle = (await store.sandboxes.idleIn(name, LOOKED_AT)).filter(
        (session) => member.serves(session.tenant) && !this.#rests(restOf(name, session), member),
      );
      if (idle.length === 0 || !(await store.takeDuty(duty, this.#holder, dutyMs))) break;
      const taken = idle.slice(0, TAKEN_UP);
      const ends = await Promise.all(taken.map((session) => slots.use(() => this.#move(member, session, signal))));
      moved += ends.filter(Boolean).length;
    }
    if (moved > 0) log.info({ sandbox: name, moved }, "sleeping sessions were moved out of a sandbox that drains");
  }

  /** False: it is not idle any more, or can't be moved now. Never rejects. */
  async #move({ found: { name }, sandbox }: Member, session: PlacedSession, signal: AbortSignal): Promise<boolean> {
    const { store, log } = this.#options;
    const workspace = sessionKey(session);
    if (signal.aborted) return false;
    try {
      // One that has not settled has its files elsewhere.
      const snapshotId = session.isSettled ? await snapshotOf(sandbox.snapshot(workspace, session.epoch, newId("drain"), signal)) : "";
      if (!(await store.sandboxes.vacate(session, name, snapshotId))) return false;
      log.debug({ sandbox: name, session: workspace, snapshot: snapshotId }, "a session was moved out of a sandbox that drains");
      await sandbox.deleteWorkspace(workspace, session.epoch, signal, false);
      return true;
    } catch (error) {
      const isNew = this.#rest(restOf(name, session), error instanceof Error ? error.message : String(error));
      const isStale = error instanceof HarnessError && error.reason === "stale_epoch";
      if (isNew && !isStale && !signal.aborted)
        log.warn(
          { err: error, sandbox: name, session: workspace },
          "a session could not be moved out of a sandbox that drains: tried again",
        );
      return false;
    }
  }

  /** Whatever failed while a sandbox was away is tried again as soon as it is back. */
  #rests(what: string, { thereSinceMs }: Member): boolean {
    const sinceMs = this.#resting.get(what)?.sinceMs ?? 0;
    return sinceMs > thereSinceMs && performance.now() < sinceMs + REST_MS;
  }

  /** True: it does not rest again for the same reason. */
  #rest(what: string, why: string): boolean {
    const now = performance.now();
    const isNew = this.#resting.get(what)?.why !== why;
    for (const [each, { sinceMs }] of this.#resting) if (sinceMs < now - 10 * REST_MS) this.#resting.delete(each);
    this.#resting.set(what, { sinceMs: now, why });
    return isNew;
  }
}

function restOf(sandbox: string, session: PlacedSession): string {
  return `${sandbox} ${sessionKey(session)}`;
}

/** The snapshot's id; empty if there is nothing to take one of. */
async function snapshotOf(taking: Promise<string>): Promise<string> {
  try {
    return await taking;
  } catch (error) {
    if (error instanceof HarnessError && error.code === Code.NotFound && error.reason === "unknown_workspace") return "";
    throw error;
  }
}
