import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Sandbox, SandboxSchema } from "@serverless-harness/proto/leaf";
import type { Fence } from "../contract/claim.ts";
import { staleEpoch } from "../contract/errors.ts";
import {
  byLoad,
  checkPlacement,
  checkReport,
  hasRoom,
  noSandbox,
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
const PLACED = "SELECT sandbox, state_id, epoch, lease_ms FROM harness_placements WHERE tenant = ? AND session_id = ?";
const PLACE = `INSERT INTO harness_placements (tenant, session_id, sandbox, state_id, epoch, lease_ms) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (tenant, session_id) DO UPDATE SET sandbox = excluded.sandbox, state_id = excluded.state_id, epoch = excluded.epoch,
    lease_ms = excluded.lease_ms`;
const HOLD = "UPDATE harness_placements SET lease_ms = ? WHERE tenant = ? AND session_id = ? AND epoch <= ?";
const FORGET = "DELETE FROM harness_placements WHERE tenant = ? AND session_id = ?";
const IDLE_IN = `SELECT tenant, session_id FROM harness_placements WHERE sandbox = ? AND lease_ms <= ? ORDER BY tenant, session_id LIMIT ?`;

type Counted = { sandbox: Bytes; alive_until_ms: number; draining: number; working: number; placed: number };
type Placed = { sandbox: string; state_id: string; epoch: number; lease_ms: number };

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

  async list(): Promise<Sandbox[]> {
    return this.#opened().all<Counted>(LIST, this.#now()).map(sandboxOf);
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

  async hold({ tenant, sessionId, epoch }: Fence, leaseMs: number): Promise<boolean> {
    return this.#change((connection, nowMs) => {
      const endMs = leaseMs === 0 ? 0 : Math.floor(nowMs + leaseMs);
      return connection.run(HOLD, endMs, tenant, sessionId, epoch) === 1;
    });
  }

  async forget(tenant: string, sessionId: string): Promise<void> {
    this.#change((connection) => connection.run(FORGET, tenant, sessionId));
  }

  async idleIn(name: string, limit: number): Promise<Array<{ tenant: string; sessionId: string }>> {
    const rows = this.#opened().all<{ tenant: string; session_id: string }>(IDLE_IN, name, this.#now(), limit);
    return rows.map(({ tenant, session_id: sessionId }) => ({ tenant, sessionId }));
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
  const isThere = known !== undefined && known.stateId === placed?.state_id && known.aliveUntilMs > nowMs;
  const keeps = isThere && suits(known, tenant, wishes) && (placed.lease_ms > nowMs || hasRoom(known));
  const { name, stateId } = keeps ? known : choose(connection, nowMs, tenant, wishes);
  connection.run(PLACE, tenant, sessionId, name, stateId, epoch, Math.floor(nowMs + leaseMs));
  const sandbox = read(connection, nowMs, name);
  if (sandbox === undefined) throw new Error("a session was placed in a sandbox that is not there");
  if (placed === undefined || keeps) return { sandbox };
  return { sandbox, moved: { name: placed.sandbox, address: known?.address ?? "", isThere } };
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
  const near = wishes.near === undefined ? undefined : connection.one<Placed>(PLACED, tenant, wishes.near)?.sandbox;
  const best = free.find(({ name }) => name === near) ?? free[0];
  if (best === undefined) throw sandboxesFull(suitable.length);
  return best;
}

function sandboxOf({ sandbox, alive_until_ms, draining, working, placed }: Counted): Sandbox {
  const state = { aliveUntilMs: BigInt(alive_until_ms), draining: draining === 1, working, placed };
  return create(SandboxSchema, { ...fromBinary(SandboxSchema, sandbox), ...state });
}
