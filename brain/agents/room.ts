import { parseTarget } from "@serverless-harness/kit/address";
import type { ClientTls } from "@serverless-harness/kit/connection";
import { askHealth } from "@serverless-harness/kit/health-check";
import type { Logger } from "@serverless-harness/kit/log";
import type { Fence, Placement, PlacementWishes, Sandboxes } from "@serverless-harness/session";

/** A lease on a sandbox is longer than one on a leaf by this factor, so that whoever takes a dead brain's leaf over finds its commands. */
const LEASES = 3;
/** How often a brain looks at least whether its sandbox is there: before the patience of its calls is over. */
const LOOK_EVERY_MS = 2000;

/** What a {@link Room} stands on. */
export interface RoomOptions {
  readonly sandboxes: Sandboxes;
  readonly fence: Fence;
  readonly wishes: PlacementWishes;
  /** Of the leaf, in milliseconds. */
  readonly leaseMs: number;
  /** For an https address. */
  readonly tls: ClientTls | undefined;
  /** The sandbox is gone: nothing more comes of what was begun there. Called once at most. */
  readonly onAway: () => void;
  readonly log: Logger;
}

/** A session's room in a sandbox of the pool, for as long as a brain works on it. */
export class Room {
  readonly placement: Placement;
  readonly #options: RoomOptions;
  readonly #timer: NodeJS.Timeout;
  #isOver = false;
  #isGone = false;

  private constructor(options: RoomOptions, placement: Placement) {
    this.#options = options;
    this.placement = placement;
    this.#timer = setInterval(() => void this.#renew(), Math.min(options.leaseMs / 3, LOOK_EVERY_MS));
  }

  /** Take it. Throws what {@link Sandboxes.place} throws. */
  static async take(options: RoomOptions): Promise<Room> {
    const { sandboxes, fence, wishes, leaseMs } = options;
    return new Room(options, await sandboxes.place(fence, wishes, leaseMs * LEASES));
  }

  /** The sandbox was found to be gone. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** The session has its files here. False: a newer owner has placed it. */
  settled(): Promise<boolean> {
    const { sandboxes, fence } = this.#options;
    return sandboxes.settle(fence);
  }

  /** Renew no more; the room is kept for `keepMs` from now; by default, for as long as if the brain had died. Never rejects. */
  async leave(keepMs?: number): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    const { sandboxes, fence, log } = this.#options;
    if (keepMs === undefined) return;
    await sandboxes.hold(fence, keepMs).catch((error: unknown) => log.warn({ err: error }, "the room in the sandbox runs out by itself"));
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    const { sandboxes, fence, leaseMs, onAway, log } = this.#options;
    try {
      const held = await sandboxes.hold(fence, leaseMs * LEASES);
      // Whoever reports sandboxes may be away itself, or be cut off from this one.
      if (held !== "away" || this.#isOver || (await this.#answers()) || this.#isOver) return;
      log.warn({ sandbox: this.placement.sandbox.name }, "the sandbox is gone: the leaf goes on in another one");
      this.#isOver = true;
      this.#isGone = true;
      clearInterval(this.#timer);
      onAway();
    } catch (error) {
      if (!this.#isOver) log.warn({ err: error }, "the room in the sandbox could not be renewed");
    }
  }

  async #answers(): Promise<boolean> {
    const target = parseTarget(this.placement.sandbox.address);
    if (target === undefined) return false;
    const { tls } = this.#options;
    return await askHealth({ ...target, ...(tls === undefined ? {} : { tls }) }).then(
      () => true,
      () => false,
    );
  }
}
