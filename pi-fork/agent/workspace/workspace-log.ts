import { BACKGROUND_CONTEXT as CONTEXT, type Session } from "@earendil-works/pi-agent-core";
import type { WorkspaceUse } from "../../tools/changing.ts";
import type { Restored } from "../log/events.ts";
import type { OperationHistory } from "../log/history.ts";
import { callsOver, callsUnderWay, changesBehind, isChange, type LaneLog, readLaneLog } from "../log/lane-log.ts";
import { type Lacks, NOT_TAKEN_BACK, takenBackBut } from "./notices.ts";
import {
  changedBy,
  type MadeFrom,
  type MadeWorkspace,
  type SnapshotNote,
  untouched,
  upTo,
  WORKSPACE_STATE,
  type WorkspaceState,
  withNote,
} from "./state.ts";

/** How a session's agent reaches its workspace as a whole. */
export interface WorkspaceLifecycle {
  /** Of the leaf that is run: snapshots are named after it. */
  readonly leafId: string;
  /** Which workspace there is, once it is there. */
  readonly made: Promise<MadeWorkspace>;
  /** Snapshots are taken. */
  readonly snapshots: boolean;
  /** Make the workspace's files those of a snapshot; may be repeated. What they lack; `undefined` if the snapshot is not there, or damaged. */
  restore(snapshotId: string): Promise<Lacks | undefined>;
  /** Make the workspace again, from what another one was made from if that is given. */
  renew(source?: MadeFrom): Promise<MadeWorkspace>;
  /** The snapshot that was taken of the files since the last agent. Default: none. */
  readonly takenSince?: string | undefined;
  /**
   * Where the session moves from: end these commands there, and store what is of this identity, or of any if it is not known, under an id. False: it can't
   * be had. Default: it comes from nowhere.
   */
  readonly rescue?: ((identity: string | undefined, snapshotId: string, commands: readonly string[]) => Promise<boolean>) | undefined;
  /** The log says from now on that the session's files are here. Default: nobody has to know. */
  readonly settled?: (() => Promise<void>) | undefined;
}

/** A snapshot that is taken next, at the point where the log is. */
export function newNote(leafId: string, { asked }: WorkspaceState, lane: LaneLog): SnapshotNote {
  return noteAt(`${leafId}.${asked + 1}`, lane);
}

/** A snapshot of the files as they are at the point where the log is. */
export function noteAt(id: string, lane: LaneLog): SnapshotNote {
  return { id, tipId: lane.tipId, done: callsOver(lane), atMs: Date.now() };
}

/** Notes in a session's log what became of its workspace. */
export class WorkspaceLog implements WorkspaceUse {
  readonly #session: Session;
  readonly #lifecycle: WorkspaceLifecycle;
  #state: WorkspaceState;
  /** The log says that this leaf changes the workspace, or is about to. */
  #saved: Promise<void> | undefined;
  /** Something may have changed since the last snapshot. */
  #dirty = false;
  #note: Promise<string | undefined> | undefined;
  #takesBack = false;

  constructor(session: Session, lifecycle: WorkspaceLifecycle, state: WorkspaceState) {
    this.#session = session;
    this.#lifecycle = lifecycle;
    this.#state = state;
    this.#saved = state.changedBy?.leafId === lifecycle.leafId ? Promise.resolve() : undefined;
  }

  get lost(): ReadonlySet<string> {
    return new Set(this.#state.lost);
  }

  /** What an operation had done is gone for good. */
  broke(operationId: string): boolean {
    return this.#state.broken === operationId;
  }

  /** How this leaf found its workspace, if that was missing. */
  get restored(): Restored | undefined {
    const { restored } = this.#state;
    return restored?.leafId === this.#lifecycle.leafId ? restored : undefined;
  }

  used(): Promise<void> {
    this.#dirty = true;
    // Turns without tools leave nothing in the log.
    this.#saved ??= this.#save(changedBy(this.#state, this.#lifecycle.leafId)).catch((error: unknown) => {
      this.#saved = undefined;
      throw error;
    });
    return this.#saved;
  }

  /**
   * Take the workspace back to where the leaf found it, at an entry of the log: made again if the leaf was the session's first, otherwise restored.
   * Returns what to tell the model if neither can be done. Nothing happens if the leaf changed nothing, or if all was done for this operation
   * already. It is done once {@link tookBack} says so.
   */
  async takeBack(operationId: string, fromTipId: string | null): Promise<string | undefined> {
    const { changedBy: last, firstChangedBy, takenBackFor, asked } = this.#state;
    const { leafId } = this.#lifecycle;
    if (takenBackFor === operationId || last?.leafId !== leafId) return undefined;
    this.#takesBack = true;
    if (fromTipId !== null || firstChangedBy !== leafId) return this.#restoreBefore(last.before, fromTipId);
    // The ids of snapshots that were taken are not used again.
    this.#state = { ...untouched(await this.#lifecycle.renew()), asked };
    this.#saved = undefined;
    return undefined;
  }

  /** All of {@link takeBack} is done, and said. */
  async tookBack(operationId: string): Promise<void> {
    if (this.#takesBack) await this.#save({ ...this.#state, takenBackFor: operationId });
    this.#takesBack = false;
  }

  async #restoreBefore(snapshotId: string | undefined, fromTipId: string | null): Promise<string | undefined> {
    const note = this.#state.snapshots.find(({ id }) => id === snapshotId);
    if (note === undefined) return NOT_TAKEN_BACK;
    const changes = await changesBehind(this.#session, { tipId: fromTipId, open: undefined }, note.tipId);
    // What came before the leaf is worth more than a clean begin.
    const behind = changes.some(({ id }) => !note.done.includes(id));
    const lacks = behind ? undefined : await this.#lifecycle.restore(note.id);
    if (lacks === undefined) return NOT_TAKEN_BACK;
    this.#state = upTo(this.#state, note.id);
    return lacks.named.length === 0 ? undefined : takenBackBut(lacks);
  }

  /** Take up what an agent that is gone had done. */
  async resume({ before, entries, cut }: OperationHistory): Promise<void> {
    const lane = await readLaneLog(this.#session);
    const last = this.#state.snapshots.at(-1);
    const from = entries.findIndex(({ id }) => id === last?.tipId) + 1;
    const covered = new Set(last?.done);
    const changes = entries.slice(from).filter((entry) => isChange(entry) && !covered.has(entry.id));
    // What came before the part of the history that is read may have changed something as well.
    this.#dirty ||= cut && from === 0 && before?.id !== last?.tipId;
    this.#dirty ||= changes.length > 0 || callsOver(lane).some((id) => !covered.has(id));
    this.#dirty ||= (await callsUnderWay(this.#session, lane)).length > 0;
  }

  /**
   * Note that a snapshot is taken now, before anything of the workspace is read: `undefined` if nothing can have changed. Once for each agent.
   * A snapshot that is noted and was never taken does no harm: the one before it is used then.
   */
  note(): Promise<string | undefined> {
    this.#note ??= this.#dirty && this.#lifecycle.snapshots ? this.#write() : undefined;
    return this.#note ?? Promise.resolve(undefined);
  }

  async #write(): Promise<string> {
    await this.#saved;
    const lane = await readLaneLog(this.#session);
    const note = newNote(this.#lifecycle.leafId, this.#state, lane);
    await this.#save(withNote(this.#state, note));
    return note.id;
  }

  #save(state: WorkspaceState): Promise<void> {
    this.#state = state;
    return this.#session.setValue(WORKSPACE_STATE, state, CONTEXT);
  }
}
