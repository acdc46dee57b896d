import { BACKGROUND_CONTEXT as CONTEXT, type Entry, type Session } from "@earendil-works/pi-agent-core";
import type { WorkspaceUse } from "../tools/changing.ts";
import { callsOver, callsUnderWay, isChange, readLaneLog } from "./lane-log.ts";
import { type Restored, WORKSPACE_STATE, type WorkspaceState, withNote } from "./workspace-state.ts";

/** How a session's agent reaches its workspace as a whole. */
export interface WorkspaceHome {
  /** Of the leaf that is run: snapshots are named after it. */
  readonly leafId: string;
  /** Which workspace there is, once it is there. One that was made anew has another identity. */
  readonly identity: Promise<string>;
  /** Snapshots are taken. */
  readonly snapshots: boolean;
  /** Make the workspace's files those of a snapshot; may be repeated. False where the snapshot is not there, or damaged. */
  restore(snapshotId: string): Promise<boolean>;
}

/** Notes in a session's log what became of its workspace. */
export class WorkspaceLog implements WorkspaceUse {
  readonly #session: Session;
  readonly #home: WorkspaceHome;
  #state: WorkspaceState;
  /** The log holds the state, or is about to. */
  #saved: Promise<void> | undefined;
  /** Something may have changed since the last snapshot. */
  #dirty = false;
  #note: Promise<string | undefined> | undefined;

  /** `saved`: the log holds this state already. */
  constructor(session: Session, home: WorkspaceHome, state: WorkspaceState, saved: boolean) {
    this.#session = session;
    this.#home = home;
    this.#state = state;
    this.#saved = saved ? Promise.resolve() : undefined;
  }

  get lost(): ReadonlySet<string> {
    return new Set(this.#state.lost);
  }

  /** What an operation had done is gone for good. */
  broke(operationId: string): boolean {
    return this.#state.broken === operationId;
  }

  /** How this leaf found its workspace, where that was missing. */
  get restored(): Restored | undefined {
    const { restored } = this.#state;
    return restored?.leafId === this.#home.leafId ? restored : undefined;
  }

  used(): Promise<void> {
    this.#dirty = true;
    // Turns without tools leave nothing in the log.
    this.#saved ??= this.#session.setValue(WORKSPACE_STATE, this.#state, CONTEXT);
    return this.#saved;
  }

  /** Take up what an agent that is gone had done: `entries` are the operation's, oldest first. */
  async resume(entries: readonly Entry[]): Promise<void> {
    const lane = await readLaneLog(this.#session);
    const last = this.#state.snapshots.at(-1);
    const from = entries.findIndex(({ id }) => id === last?.tipId) + 1;
    const covered = new Set(last?.done);
    const changes = entries.slice(from).filter((entry) => isChange(entry) && !covered.has(entry.id));
    this.#dirty ||= changes.length > 0 || callsOver(lane).some((id) => !covered.has(id));
    this.#dirty ||= (await callsUnderWay(this.#session, lane)).length > 0;
  }

  /**
   * Note that a snapshot is taken now, before anything of the workspace is read: `undefined` where nothing can have changed. Once for each agent.
   * A snapshot that is noted and was never taken does no harm: the one before it is used then.
   */
  note(): Promise<string | undefined> {
    this.#note ??= this.#dirty && this.#home.snapshots ? this.#write() : undefined;
    return this.#note ?? Promise.resolve(undefined);
  }

  async #write(): Promise<string> {
    await this.#saved;
    const lane = await readLaneLog(this.#session);
    const id = `${this.#home.leafId}.${this.#state.asked + 1}`;
    this.#state = withNote(this.#state, { id, tipId: lane.tipId, done: callsOver(lane), atMs: Date.now() });
    await this.#session.setValue(WORKSPACE_STATE, this.#state, CONTEXT);
    return id;
  }
}
