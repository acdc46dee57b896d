import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Sandbox, SandboxSchema } from "@serverless-harness/proto/leaf";
import type { Fence } from "../contract/claim.ts";
import { staleEpoch } from "../contract/errors.ts";
import {
  checkPlacement,
  checkReport,
  noSandbox,
  type Placement,
  type PlacementWishes,
  type Sandboxes,
  type SandboxReport,
  sandboxesFull,
  sandboxNotFound,
} from "../contract/sandboxes.ts";
import type { Database } from "./database.ts";
import { encode, nameParts, sessionName } from "./names.ts";
import { bytes, list, type Reply, text } from "./scripts.ts";

/** The pool of sandboxes in a Redis: all of it is in one slot of a cluster. */
export class RedisSandboxes implements Sandboxes {
  readonly #opened: () => Database;

  /** `opened`: the database; throws if it was closed. */
  constructor(opened: () => Database) {
    this.#opened = opened;
  }

  async report(report: SandboxReport, aliveMs: number): Promise<void> {
    checkReport(report, aliveMs);
    const { name, stateId, tenant = "", labels = {}, capacity = 0 } = report;
    const sandbox = toBinary(SandboxSchema, create(SandboxSchema, report));
    const fields = [sandbox, encode(stateId), tenant, JSON.stringify(labels), capacity, Math.floor(aliveMs)];
    await this.#opened().runSandboxes("sandboxReport", name, ...fields);
  }

  async list(): Promise<Sandbox[]> {
    const found = list(await this.#opened().runSandboxes("sandboxList")).map(sandboxOf);
    return found.filter((each) => each !== undefined).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async drain(name: string, draining: boolean): Promise<Sandbox> {
    const sandbox = sandboxOf(await this.#opened().runSandboxes("sandboxDrain", name, draining ? 1 : 0));
    if (sandbox === undefined) throw sandboxNotFound(name);
    return sandbox;
  }

  async remove(name: string): Promise<boolean> {
    return (await this.#opened().runSandboxes("sandboxRemove", name)) === 1;
  }

  async place(fence: Fence, wishes: PlacementWishes, leaseMs: number): Promise<Placement> {
    checkPlacement(wishes, leaseMs);
    const { tenant, sessionId, epoch } = fence;
    const near = wishes.near === undefined ? "" : sessionName(tenant, wishes.near);
    const labels = Object.entries(wishes.labels ?? {}).flat();
    const session = sessionName(tenant, sessionId);
    const reply = list(await this.#opened().runSandboxes("sandboxPlace", session, epoch, tenant, Math.floor(leaseMs), near, ...labels));
    const [outcome, found, oldName, isThere, left] = reply;
    switch (text(outcome)) {
      case "stale":
        throw staleEpoch(fence);
      case "none":
        throw noSandbox(wishes);
      case "full":
        throw sandboxesFull(Number(found));
    }
    const sandbox = sandboxOf(found);
    if (sandbox === undefined) throw new TypeError("the leaf store's Redis placed a session nowhere");
    if (oldName === undefined) return { sandbox };
    return { sandbox, moved: { name: text(oldName), address: sandboxOf(left)?.address ?? "", isThere: text(isThere) === "1" } };
  }

  async hold({ tenant, sessionId, epoch }: Fence, leaseMs: number): Promise<boolean> {
    return text(await this.#opened().runSandboxes("sandboxHold", sessionName(tenant, sessionId), epoch, Math.floor(leaseMs))) === "1";
  }

  async forget(tenant: string, sessionId: string): Promise<void> {
    await this.#opened().runSandboxes("sandboxForget", sessionName(tenant, sessionId));
  }

  async idleIn(name: string, limit: number): Promise<Array<{ tenant: string; sessionId: string }>> {
    return list(await this.#opened().runSandboxes("sandboxIdle", name, limit)).map((session) => nameParts(text(session)));
  }
}

/** What a script showed of a sandbox; `undefined` if there is none. */
function sandboxOf(reply: Reply | undefined): Sandbox | undefined {
  const [sandbox, alive, draining, working, placed] = list(reply ?? []);
  if (!Buffer.isBuffer(sandbox)) return undefined;
  const state = { aliveUntilMs: BigInt(text(alive)), draining: text(draining) === "1", working: Number(working), placed: Number(placed) };
  return create(SandboxSchema, { ...fromBinary(SandboxSchema, bytes(sandbox)), ...state });
}
