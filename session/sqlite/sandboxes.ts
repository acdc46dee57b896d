import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Sandbox, SandboxSchema } from "@serverless-harness/proto/leaf";
import type { Fence } from "../contract/claim.ts";
import { staleEpoch } from "../contract/errors.ts";
import {
  byLoad,
  checkPlacement,
  checkReport,
  checkSnapshotId,
  hasRoom,
  noSandbox,
  type PlacedSession,
  type Placement,
  type PlacementWishes,
  type Sandboxes,
  type SandboxReport,
  sandboxesFull,
  sandboxNotFound,
  suits,
} from "../contract/sandboxes.ts";
import type { Bytes, Connection } from "./connection.ts";

const REPORT = `INSERT INTO harness_sandboxes (name, alive_until_ms, sandbox) VALUES (?, ?, ?)
  ON CONFLICT (name) DO UPDATE SET alive_until_ms = excluded.alive_until_ms, sandbox = excluded.sandbox`;
const COUNTED = `SELECT s.sandbox, s.alive_until_ms, s.draining,
    (SELECT count(*) FROM harness_placements p WHERE p.sandbox = s.name AND p.lease_ms > ?) AS working,
    (SELECT count(*) FROM harness_placements p WHERE p.sandbox = s.name) AS placed
  FROM harness_sandboxes s`;
const LIST = `${COUNTED} ORDER BY s.name`;
const ONE = `${COUNTED} WHERE s.name = ?`;
const DRAIN = "UPDATE harness_sandboxes SET draining = ? WHERE name = ?";
const REMOVE = "DELETE FROM harness_sandboxes WHERE name = ?";
const PLACED = "SELECT * FROM harness_placements WHERE tenant = ? AND session_id = ?";
const PLACE = `INSERT OR REPLACE INTO harness_placements
  (tenant, session_id, sandbox, state_id, epoch, lease_ms, from_sandbox, from_state_id, snapshot_id, left_sandbox)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const HOLD = "UPDATE harness_placements SET lease_ms = ? WHERE tenant = ? AND session_id = ?";
const SETTLE = `UPDATE harness_placements SET from_sandbox = '', from_state_id = '', snapshot_id = '', left_sandbox = ''
  WHERE tenant = ? AND session_id = ? AND epoch <= ? AND sandbox <> ''`;
const VACATE = `UPDATE harness_placements SET sandbox = '', state_id = '', lease_ms = 0, left_sandbox = sandbox,
    snapshot_id = CASE WHEN from_sandbox = '' AND snapshot_id = '' THEN ?1 ELSE snapshot_id END
  WHERE tenant = ?2 AND session_id = ?3 AND epoch <= ?4 AND sandbox = ?5 AND lease_ms <= ?6`;
const FORGET = "DELETE FROM harness_placements WHERE tenant = ? AND session_id = ?";
const IDLE_IN = "SELECT * FROM harness_placements WHERE sandbox = ? AND lease_ms <= ? LIMIT ?";
const WORKING_IN = "SELECT * FROM harness_placements WHERE sandbox = ? AND lease_ms > ? LIMIT ?";

type Counted = { sandbox: Bytes; alive_until_ms: number; draining: number; working: number; placed: number };
type Placed = {
  tenant: string;
  session_id: string;
  sandbox: string;
  state_id: string;
  epoch: number;
  lease_ms: number;
  from_sandbox: string;
  from_state_id: string;
  snapshot_id: string;
  left_sandbox: string;
};

/** The pool of sandboxes in a SQLite file. */
export class SqliteSandboxes implements Sandboxes {
  readonly #opened: () => Connection;
  readonly #now: () => number;

  /** `opened`: the connection; throws if it was closed. `now`: the store's clock. */
  constructor(opened: () => Connection, now: () => number) {
    this.#opened = opened;
    this.#now = now;
  }

  async report(report: SandboxReport, aliveMs: number): Promise<void> {
    checkReport(report, aliveMs);
    const sandbox = toBinary(SandboxSchema, create(SandboxSchema, report));
    this.#change((connection, nowMs) => connection.run(REPORT, report.name, Math.floor(nowMs + aliveMs), sandbox));
  }

  async list(): Promise<{ sandboxes: Sandbox[]; nowMs: number }> {
    const nowMs = this.#now();
    return { sandboxes: this.#opened().all<Counted>(LIST, nowMs).map(sandboxOf), nowMs };
  }

  async drain(name: string, draining: boolean): Promise<Sandbox> {
    return this.#change((connection, nowMs) => {
      connection.run(DRAIN, draining ? 1 : 0, name);
      const sandbox = read(connection, nowMs, name);
      if (sandbox === undefined) throw sandboxNotFound(name);
      return sandbox;
    });
  }

  async remove(name: string): Promise<boolean> {
    return this.#change((connection) => connection.run(REMOVE, name) === 1);
  }

  async place(fence: Fence, wishes: PlacementWishes, leaseMs: number): Promise<Placement> {
    checkPlacement(wishes, leaseMs);
    return this.#change((connection, nowMs) => place(connection, nowMs, fence, wishes, leaseMs));
  }

  async hold({ tenant, sessionId, epoch }: Fence, leaseMs: number): Promise<"held" | "away" | "lost"> {
    return this.#change((connection, nowMs) => {
      const placed = connection.one<Placed>(PLACED, tenant, sessionId);
      if (placed === undefined || placed.sandbox === "" || BigInt(placed.epoch) > epoch) return "lost";
      connection.run(HOLD, leaseMs === 0 ? 0 : Math.floor(nowMs + leaseMs), tenant, sessionId);
      return isThere(read(connection, nowMs, placed.sandbox), placed.state_id, nowMs) ? "held" : "away";
    });
  }

  async settle({ tenant, sessionId, epoch }: Fence): Promise<boolean> {
    return this.#change((connection) => connection.run(SETTLE, tenant, sessionId, epoch) === 1);
  }

  async forget(tenant: string, sessionId: string): Promise<void> {
    this.#change((connection) => connection.run(FORGET, tenant, sessionId));
  }

  async idleIn(name: string, limit: number): Promise<PlacedSession[]> {
    return this.#opened().all<Placed>(IDLE_IN, name, this.#now(), limit).map(placedSession);
  }

  async workingIn(name: string, limit: number): Promise<PlacedSession[]> {
    return this.#opened().all<Placed>(WORKING_IN, name, this.#now(), limit).map(placedSession);
  }

  async vacate({ tenant, sessionId, epoch }: Fence, name: string, snapshotId: string): Promise<boolean> {
    checkSnapshotId(snapshotId);
    return this.#change((connection, nowMs) => connection.run(VACATE, snapshotId, tenant, sessionId, epoch, name, nowMs) === 1);
  }

  async elsewhere(
    { name, stateId }: Pick<Sandbox, "name" | "stateId">,
    sessions: ReadonlyArray<Pick<PlacedSession, "tenant" | "sessionId">>,
  ): Promise<PlacedSession[]> {
    const connection = this.#opened();
    return sessions
      .map(({ tenant, sessionId }) => connection.one<Placed>(PLACED, tenant, sessionId))
      .filter((placed) => placed !== undefined)
      .filter((placed) => placed.sandbox !== name && placed.from_sandbox !== name)
      .filter((placed) => placed.state_id !== stateId && placed.from_state_id !== stateId)
      .map(placedSession);
  }

  async where(tenant: string, sessionId: string): Promise<string[]> {
    const placed = this.#opened().one<Placed>(PLACED, tenant, sessionId);
    return [placed?.sandbox ?? "", placed?.from_sandbox ?? ""].filter((name) => name !== "");
  }

  /** Nobody is told: no leaf becomes ready by it. */
  #change<T>(work: (connection: Connection, nowMs: number) => T): T {
    const connection = this.#opened();
    return connection.transaction(() => work(connection, this.#now()));
  }
}

/** Inside the caller's transaction. */
function place(connection: Connection, nowMs: number, fence: Fence, wishes: PlacementWishes, leaseMs: number): Placement {
  const { tenant, sessionId, epoch } = fence;
  const placed = connection.one<Placed>(PLACED, tenant, sessionId);
  if (placed !== undefined && BigInt(placed.epoch) > epoch) throw staleEpoch(fence);
  const known = placed && read(connection, nowMs, placed.sandbox);
  const stays =
    isThere(known, placed?.state_id, nowMs) && suits(known, tenant, wishes) && ((placed?.lease_ms ?? 0) > nowMs || hasRoom(known));
  const { name, stateId } = stays ? known : choose(connection, nowMs, tenant, wishes);
  const from = filesOf(placed, stays, { name, stateId });
  const { snapshot_id: snapshotId = "", left_sandbox: leftName = "" } = placed ?? {};
  connection.run(
    PLACE,
    tenant,
    sessionId,
    name,
    stateId,
    epoch,
    Math.floor(nowMs + leaseMs),
    from.name,
    from.stateId,
    snapshotId,
    leftName,
  );
  const sandbox = read(connection, nowMs, name);
  if (sandbox === undefined) throw new Error("a session was placed in a sandbox that is not there");
  const source = from.name === "" ? undefined : read(connection, nowMs, from.name);
  const left = leftName === "" ? undefined : read(connection, nowMs, leftName);
  return {
    sandbox,
    isNew: !stays,
    ...(from.name === ""
      ? {}
      : { moved: { name: from.name, address: source?.address ?? "", isThere: isThere(source, from.stateId, nowMs) } }),
    ...(leftName === "" ? {} : { left: { name: leftName, isThere: isThere(left, left?.stateId, nowMs) } }),
    ...(snapshotId === "" ? {} : { snapshotId }),
  };
}

/** Where a session has its files that is now in `to`; no name: there, or nowhere. */
function filesOf(
  placed: Placed | undefined,
  stays: boolean,
  to: { readonly name: string; readonly stateId: string },
): { name: string; stateId: string } {
  const nowhere = { name: "", stateId: "" };
  if (placed === undefined) return nowhere;
  const unsettled = { name: placed.from_sandbox, stateId: placed.from_state_id };
  if (stays) return unsettled;
  // One that has not settled is not in the place that it leaves.
  const isSettled = placed.from_sandbox === "" && placed.snapshot_id === "";
  const from = isSettled ? { name: placed.sandbox, stateId: placed.state_id } : unsettled;
  return from.name === to.name && from.stateId === to.stateId ? nowhere : from;
}

function isThere(sandbox: Sandbox | undefined, stateId: string | undefined, nowMs: number): sandbox is Sandbox {
  return sandbox !== undefined && sandbox.stateId === stateId && sandbox.aliveUntilMs > nowMs;
}

function placedSession({ tenant, session_id: sessionId, epoch, from_sandbox, snapshot_id }: Placed): PlacedSession {
  return { tenant, sessionId, epoch: BigInt(epoch), isSettled: from_sandbox === "" && snapshot_id === "" };
}

function read(connection: Connection, nowMs: number, name: string): Sandbox | undefined {
  const row = connection.one<Counted>(ONE, nowMs, name);
  return row && sandboxOf(row);
}

/** The best of the sandboxes that would do. */
function choose(connection: Connection, nowMs: number, tenant: string, wishes: PlacementWishes): Sandbox {
  const known = connection.all<Counted>(LIST, nowMs).map(sandboxOf);
  const suitable = known.filter((sandbox) => sandbox.aliveUntilMs > nowMs && suits(sandbox, tenant, wishes));
  if (!suitable.some(({ draining }) => !draining)) throw noSandbox(wishes);
  const free = suitable.filter(hasRoom).toSorted(byLoad);
  const other = wishes.copyOf ?? wishes.near;
  const near = other === undefined ? undefined : connection.one<Placed>(PLACED, tenant, other)?.sandbox;
  const mustBeNear = wishes.copyOf !== undefined && suitable.some(({ name, draining }) => name === near && !draining);
  const best = free.find(({ name }) => name === near) ?? (mustBeNear ? undefined : free[0]);
  if (best === undefined) throw sandboxesFull(mustBeNear ? 1 : suitable.length);
  return best;
}

function sandboxOf({ sandbox, alive_until_ms, draining, working, placed }: Counted): Sandbox {
  const state = { aliveUntilMs: BigInt(alive_until_ms), draining: draining === 1, working, placed };
  return create(SandboxSchema, { ...fromBinary(SandboxSchema, sandbox), ...state });
}
