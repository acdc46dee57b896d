import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Sandbox, SandboxSchema } from "@serverless-harness/proto/leaf";
import type { Fence } from "../contract/claim.ts";
import { staleEpoch } from "../contract/errors.ts";
import {
  checkPlacement,
  checkReport,
  checkSnapshotId,
  noSandbox,
  type PlacedSession,
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

  async list(): Promise<{ sandboxes: Sandbox[]; nowMs: number }> {
    const [now, ...found] = list(await this.#opened().runSandboxes("sandboxList"));
    const sandboxes = found.map(sandboxOf).filter((each) => each !== undefined);
    return { sandboxes: sandboxes.toSorted((a, b) => (a.name < b.name ? -1 : 1)), nowMs: Number(text(now)) };
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
    const other = wishes.copyOf ?? wishes.near;
    const near = [other === undefined ? "" : sessionName(tenant, other), wishes.copyOf === undefined ? 0 : 1];
    const labels = Object.entries(wishes.labels ?? {}).flat();
    const session = sessionName(tenant, sessionId);
    const reply = list(await this.#opened().runSandboxes("sandboxPlace", session, epoch, tenant, Math.floor(leaseMs), ...near, ...labels));
    const [outcome, found, isNew, snapshotId, left, isLeftThere, from, isThere, source] = reply;
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
    return {
      sandbox,
      isNew: text(isNew) === "1",
      ...(from === undefined
        ? {}
        : { moved: { name: text(from), address: sandboxOf(source)?.address ?? "", isThere: text(isThere) === "1" } }),
      ...(text(left) === "" ? {} : { left: { name: text(left), isThere: text(isLeftThere) === "1" } }),
      ...(text(snapshotId) === "" ? {} : { snapshotId: text(snapshotId) }),
    };
  }

  async hold({ tenant, sessionId, epoch }: Fence, leaseMs: number): Promise<"held" | "away" | "lost"> {
    const reply = await this.#opened().runSandboxes("sandboxHold", sessionName(tenant, sessionId), epoch, Math.floor(leaseMs));
    const outcome = text(reply);
    return outcome === "held" || outcome === "away" ? outcome : "lost";
  }

  async settle({ tenant, sessionId, epoch }: Fence): Promise<boolean> {
    return text(await this.#opened().runSandboxes("sandboxSettle", sessionName(tenant, sessionId), epoch)) === "1";
  }

  async forget(tenant: string, sessionId: string): Promise<void> {
    await this.#opened().runSandboxes("sandboxForget", sessionName(tenant, sessionId));
  }

  async idleIn(name: string, limit: number): Promise<PlacedSession[]> {
    return this.#sessionsIn(name, limit, false);
  }

  async workingIn(name: string, limit: number): Promise<PlacedSession[]> {
    return this.#sessionsIn(name, limit, true);
  }

  async vacate({ tenant, sessionId, epoch }: Fence, name: string, snapshotId: string): Promise<boolean> {
    checkSnapshotId(snapshotId);
    const session = sessionName(tenant, sessionId);
    return text(await this.#opened().runSandboxes("sandboxVacate", session, epoch, name, snapshotId)) === "1";
  }

  async elsewhere(
    { name, stateId }: Pick<Sandbox, "name" | "stateId">,
    sessions: ReadonlyArray<Pick<PlacedSession, "tenant" | "sessionId">>,
  ): Promise<PlacedSession[]> {
    const names = sessions.map(({ tenant, sessionId }) => sessionName(tenant, sessionId));
    return list(await this.#opened().runSandboxes("sandboxElsewhere", name, encode(stateId), ...names)).map(placedSession);
  }

  async where(tenant: string, sessionId: string): Promise<string[]> {
    return list(await this.#opened().runSandboxes("sandboxWhere", sessionName(tenant, sessionId))).map(text);
  }

  async #sessionsIn(name: string, limit: number, working: boolean): Promise<PlacedSession[]> {
    return list(await this.#opened().runSandboxes("sandboxSessions", name, limit, working ? 1 : 0)).map(placedSession);
  }
}

function placedSession(reply: Reply): PlacedSession {
  const [session, epoch, isSettled] = list(reply).map(text);
  return { ...nameParts(session ?? ""), epoch: BigInt(epoch ?? 0), isSettled: isSettled === "1" };
}

/** What a script showed of a sandbox; `undefined` if there is none. */
function sandboxOf(reply: Reply | undefined): Sandbox | undefined {
  const [sandbox, alive, draining, working, placed] = list(reply ?? []);
  if (!Buffer.isBuffer(sandbox)) return undefined;
  const state = { aliveUntilMs: BigInt(text(alive)), draining: text(draining) === "1", working: Number(working), placed: Number(placed) };
  return create(SandboxSchema, { ...fromBinary(SandboxSchema, bytes(sandbox)), ...state });
}
