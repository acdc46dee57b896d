import { Code } from "@connectrpc/connect";
import { parseTarget } from "@serverless-harness/kit/address";
import { HarnessError } from "@serverless-harness/kit/errors";
import { checkSandboxLabels } from "@serverless-harness/kit/sandbox-labels";
import { Validation } from "@serverless-harness/kit/validate";
import type { Sandbox } from "@serverless-harness/proto/leaf";
import type { Fence } from "./claim.ts";

/** What whoever found a sandbox says of it; the store knows the rest. */
export type SandboxReport = Pick<Sandbox, "name" | "address" | "stateId"> & Partial<Pick<Sandbox, "labels" | "tenant" | "capacity">>;

/** What a leaf wants of its sandbox. */
export interface PlacementWishes {
  /** Every one of these labels. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Another session of the same tenant: its sandbox, if that has room. */
  readonly near?: string;
  /** Another session of the same tenant whose files it begins with: while that one's sandbox is full, it waits for room there. */
  readonly copyOf?: string;
}

/** Where a session is. */
export interface Placement {
  readonly sandbox: Sandbox;
  /** This call placed it here; false: it was here before. */
  readonly isNew: boolean;
  /** It has its files in another sandbox, or had them in what is gone from this one. `isThere`: that one can still be asked for them. */
  readonly moved?: { readonly name: string; readonly address: string; readonly isThere: boolean };
  /** The sandbox that it was taken out of while it slept, until it has settled. `isThere`: that one is there. */
  readonly left?: { readonly name: string; readonly isThere: boolean };
  /** The snapshot that was taken of its files when it was taken out of its last sandbox. */
  readonly snapshotId?: string;
}

/** A session that is somewhere in the pool. */
export interface PlacedSession {
  readonly tenant: string;
  readonly sessionId: string;
  /** Of the owner that placed it. */
  readonly epoch: bigint;
  /** It has its files where it is. */
  readonly isSettled: boolean;
}

/**
 * The pool of sandboxes, and which one each session is in. A session stays where it is while its sandbox is there; a lease says that it needs
 * room there, for its brain or for a command that runs without one. Until its owner says that a session has its files there, by `settle`, the store
 * remembers where its files come from, whoever dies meanwhile.
 */
export interface Sandboxes {
  /**
   * Note that a sandbox is there, and for how long it counts as that unless it is reported again. One that drains goes on draining. INVALID_ARGUMENT names
   * what is out of its limits.
   */
  report(report: SandboxReport, aliveMs: number): Promise<void>;
  /** Every sandbox that is known, by name, those that are away too, and the store's clock, milliseconds since the Unix epoch. */
  list(): Promise<{ readonly sandboxes: Sandbox[]; readonly nowMs: number }>;
  /** Let a sandbox take no more sessions, or take them again. NOT_FOUND `sandbox_not_found`. */
  drain(name: string, draining: boolean): Promise<Sandbox>;
  /** Forget a sandbox; its sessions are placed elsewhere when they are needed. False if it was not known. */
  remove(name: string): Promise<boolean>;

  /**
   * The sandbox of a session, for `leaseMs`: where it is, while that is there, has the wanted labels, and neither drains nor is full for sessions without
   * a lease; otherwise the one near the wanted session, or the least loaded: the one with fewest leases, then with fewest sessions. UNAVAILABLE `no_sandbox`
   * if none that would do is there, RESOURCE_EXHAUSTED `sandboxes_full` if all of those are full, FAILED_PRECONDITION `stale_epoch` if a newer owner
   * has placed the session. Nothing is changed then.
   */
  place(fence: Fence, wishes: PlacementWishes, leaseMs: number): Promise<Placement>;
  /**
   * Let the lease end in `leaseMs` from now; 0 ends it. The session stays where it is. `away`: its sandbox is not there any more, or has lost its
   * disk. `lost`: it was placed by a newer owner, or is placed nowhere, and nothing is changed.
   */
  hold(fence: Fence, leaseMs: number): Promise<"held" | "away" | "lost">;
  /** The session has its files in its sandbox: forget where they came from. False if it was placed by a newer owner, or is placed nowhere. */
  settle(fence: Fence): Promise<boolean>;
  /** Forget where a session was, as it is no more. */
  forget(tenant: string, sessionId: string): Promise<void>;
  /** Sessions without a lease that are in a sandbox, at most `limit`, in any order. */
  idleIn(name: string, limit: number): Promise<PlacedSession[]>;
  /** The same for sessions with a lease. */
  workingIn(name: string, limit: number): Promise<PlacedSession[]>;
  /**
   * Take an idle session out of a sandbox; it is placed again when it is needed, and goes on from the snapshot. `snapshotId` empty: from its own last
   * one. One that had not settled goes on from where it would have. False if the session is not idle there any more, or has a newer owner.
   */
  vacate(session: Pick<PlacedSession, "tenant" | "sessionId" | "epoch">, name: string, snapshotId: string): Promise<boolean>;
  /**
   * Those of these sessions that are placed, and neither are in this sandbox nor have their files in it, nor in one whose disk it has under another name:
   * what it has of them is old.
   */
  elsewhere(
    sandbox: Pick<Sandbox, "name" | "stateId">,
    sessions: ReadonlyArray<Pick<PlacedSession, "tenant" | "sessionId">>,
  ): Promise<PlacedSession[]>;
  /** Names of the sandboxes that a session is in, or has its files in, whether or not they are there; none if it is placed nowhere. */
  where(tenant: string, sessionId: string): Promise<string[]>;
}

/** How the note of a leaf begins that is suspended as no sandbox has room for it. */
export const WAITS_FOR_ROOM = "waits for room in a sandbox";
const MAX_CAPACITY = 100_000;
const MAX_LEASE_MS = 24 * 3_600_000;
/** How soon a full pool is asked again. */
const FULL_RETRY_MS = 1000;

/** Throw INVALID_ARGUMENT that names every field of a report that is out of its limits. */
export function checkReport({ name, address, stateId, labels = {}, tenant = "", capacity = 0 }: SandboxReport, aliveMs: number): void {
  const v = new Validation();
  v.name("sandbox.name", name);
  v.characters("sandbox.address", address, 1, 1024);
  v.check("sandbox.address", parseTarget(address) !== undefined, "must be unix:/path, http://host:port or https://host:port");
  v.characters("sandbox.state_id", stateId, 1, 128);
  v.line("sandbox.state_id", stateId);
  checkSandboxLabels(v, "sandbox.labels", labels);
  if (tenant !== "") v.characters("sandbox.tenant", tenant, 1, 128);
  v.check("sandbox.capacity", Number.isInteger(capacity) && capacity >= 0 && capacity <= MAX_CAPACITY, `must be 0 to ${MAX_CAPACITY}`);
  v.range("alive_ms", aliveMs, 1, MAX_LEASE_MS);
  v.done();
}

/** Throw INVALID_ARGUMENT that names every wish that is out of its limits. */
export function checkPlacement({ labels = {} }: PlacementWishes, leaseMs: number): void {
  const v = new Validation();
  checkSandboxLabels(v, "labels", labels);
  v.range("lease_ms", leaseMs, 1, MAX_LEASE_MS);
  v.done();
}

/** Throw INVALID_ARGUMENT if a snapshot's id can't be kept. */
export function checkSnapshotId(snapshotId: string): void {
  const v = new Validation();
  if (snapshotId !== "") v.name("snapshot_id", snapshotId);
  v.done();
}

/** The sandbox may hold a tenant's session that has these wishes. */
export function suits(sandbox: Sandbox, tenant: string, { labels = {} }: PlacementWishes): boolean {
  if (sandbox.tenant !== "" && sandbox.tenant !== tenant) return false;
  return Object.entries(labels).every(([name, value]) => Object.hasOwn(sandbox.labels, name) && sandbox.labels[name] === value);
}

/** Another session may get a lease on it. */
export function hasRoom({ capacity, working, draining }: Sandbox): boolean {
  return !draining && (capacity === 0 || working < capacity);
}

/** The less loaded of two sandboxes comes first. */
export function byLoad(a: Sandbox, b: Sandbox): number {
  return a.working - b.working || a.placed - b.placed || (a.name < b.name ? -1 : 1);
}

/** The error for a sandbox that nobody reported. `cause`: for the log, if there is more to say. */
export function sandboxNotFound(name: string, cause?: Error): HarnessError {
  return new HarnessError(Code.NotFound, "sandbox_not_found", `there is no sandbox ${name}: list them`, { cause });
}

/** The error if no sandbox that is there fulfils the wishes. */
export function noSandbox({ labels = {} }: PlacementWishes): HarnessError {
  const wanted = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  const which = wanted.length === 0 ? "no sandbox is there" : `no sandbox is there with ${wanted.join(", ")}`;
  return new HarnessError(Code.Unavailable, "no_sandbox", `${which}: the leaf waits until one is`, { retryAfterMs: FULL_RETRY_MS });
}

/** The error for a pool without room. */
export function sandboxesFull(count: number): HarnessError {
  const text = `each of the ${count} sandboxes that would do has as many sessions as it takes: the leaf waits until one ends, or add a sandbox`;
  return new HarnessError(Code.ResourceExhausted, "sandboxes_full", text, {
    metadata: { sandboxes: String(count) },
    retryAfterMs: FULL_RETRY_MS,
  });
}
