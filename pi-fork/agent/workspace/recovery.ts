import {
  branchTip,
  BACKGROUND_CONTEXT as CONTEXT,
  insertEntry,
  laneState,
  pendingEntry,
  type Session,
  type SessionMutator,
  setValue,
  type Write,
} from "@earendil-works/pi-agent-core";
import { callsUnderWay, changesBehind, LANE, type LaneLog, readLaneLog } from "../log/lane-log.ts";
import { type ForkOrigin, forkNotice, LACKS_NOTHING, type Lacks, noticeOf } from "./notices.ts";
import { type MadeWorkspace, type SnapshotNote, untouched, WORKSPACE_STATE, type WorkspaceState, withNote } from "./state.ts";
import { newNote, noteAt, type WorkspaceLifecycle, WorkspaceLog } from "./workspace-log.ts";

/**
 * What a session's log knows of its workspace. If that is gone, or in another sandbox, and a new one was made here, the newest snapshot that can be had is
 * restored first, and the log notes it in one step with what the model is told. A brain that dies in between leaves the old note, and the next
 * one begins again.
 */
export async function openWorkspaceLog(session: Session, lifecycle: WorkspaceLifecycle, origin?: ForkOrigin): Promise<WorkspaceLog> {
  const log = await findWorkspace(session, lifecycle, origin);
  await lifecycle.settled?.();
  return log;
}

async function findWorkspace(session: Session, lifecycle: WorkspaceLifecycle, origin: ForkOrigin | undefined): Promise<WorkspaceLog> {
  const [stored, found] = await Promise.all([session.getValue(WORKSPACE_STATE, CONTEXT), lifecycle.made]);
  const state = stored?.value;
  const made = found.isOld && state === undefined ? await lifecycle.renew() : found;
  if (state?.made === made.identity) return new WorkspaceLog(session, lifecycle, state);
  if (state === undefined && origin !== undefined) return moveIn(session, lifecycle, made, origin);
  // A session that began with another one's conversation has the changes of that one in it, and none of its files.
  const comesFromElsewhere = lifecycle.takenSince !== undefined || lifecycle.rescue !== undefined;
  if (state === undefined && session.metadata.parentSessionId === undefined && !comesFromElsewhere) {
    return new WorkspaceLog(session, lifecycle, untouched(made));
  }
  return new WorkspaceLog(session, lifecycle, await recover(session, lifecycle, state, made));
}

/** The workspace of a session that was forked is noted at once, in one step with what the model is told of it. */
async function moveIn(session: Session, lifecycle: WorkspaceLifecycle, made: MadeWorkspace, origin: ForkOrigin): Promise<WorkspaceLog> {
  const lane = await readLaneLog(session);
  const notice = lane.tipId === null ? undefined : forkNotice(origin, (await changesBehind(session, lane, null)).length > 0);
  const state = untouched(made);
  await session.mutate(async (mutator) => {
    const told = notice === undefined ? [] : await tellWrites(mutator, lane, session.idGenerator.next(), notice);
    await mutator.commit([...told, setValue(WORKSPACE_STATE, state)], CONTEXT);
  }, CONTEXT);
  return new WorkspaceLog(session, lifecycle, state);
}

/** The state from now on, which the log holds if anything had to be restored. `known`: as the log holds it; `undefined`: it has none. */
async function recover(
  session: Session,
  lifecycle: WorkspaceLifecycle,
  known: WorkspaceState | undefined,
  found: MadeWorkspace,
): Promise<WorkspaceState> {
  const state = known ?? untouched(found);
  // A branch may have moved on, and this leaf may name no repository: a patch has to be against the commit that the work began at.
  const asBefore = state.source.baseCommit === "" || state.source.baseCommit === found.source.baseCommit;
  const made = asBefore && !found.isOld ? found : await lifecycle.renew(state.source);
  const lane = await readLaneLog(session);
  const lost = await callsUnderWay(session, lane);
  const before = await withNewest(session, lifecycle, state, { identity: known?.made, lane, commands: lost });
  const { note, lacks } = await restoreNewest(lifecycle, before.snapshots);
  const covered = new Set(note?.done);
  const changes = (await changesBehind(session, lane, note?.tipId ?? null)).filter(({ id }) => !covered.has(id));
  const behind = changes.length > 0 || lost.length > 0;
  if (note === undefined && !behind) return { ...untouched(made), asked: before.asked };
  const broken = note === undefined && (await hasActed(session, lane, lost));
  const { restored: _restored, broken: _broken, ...rest } = before;
  const next: WorkspaceState = {
    ...rest,
    made: made.identity,
    lost,
    restored: { leafId: lifecycle.leafId, made: made.identity, snapshotId: note?.id ?? "", behind },
    ...(broken && lane.open !== undefined ? { broken: lane.open.id } : {}),
  };
  const notice = behind || lacks.named.length > 0 ? noticeOf(note, { behind, lacks }) : undefined;
  await session.mutate(async (mutator) => {
    const told = notice === undefined ? [] : await tellWrites(mutator, lane, session.idGenerator.next(), notice);
    await mutator.commit([...told, setValue(WORKSPACE_STATE, next)], CONTEXT);
  }, CONTEXT);
  return next;
}

/**
 * The state with the snapshot that was taken since the last agent, or that is taken now in the sandbox where the session still has its files: of the
 * workspace of this identity there, or of any if it is not known.
 */
async function withNewest(
  session: Session,
  lifecycle: WorkspaceLifecycle,
  state: WorkspaceState,
  { identity, lane, commands }: { readonly identity: string | undefined; readonly lane: LaneLog; readonly commands: readonly string[] },
): Promise<WorkspaceState> {
  const { takenSince, rescue, leafId } = lifecycle;
  // One that is noted already is of an earlier point of the log.
  const isNoted = takenSince === undefined || state.snapshots.some(({ id }) => id === takenSince);
  const known = isNoted ? state : withNote(state, noteAt(takenSince, lane));
  if (rescue === undefined) return known;
  const note = newNote(leafId, known, lane);
  const noted = withNote(known, note);
  // First, since no id is ever used for two snapshots.
  await session.setValue(WORKSPACE_STATE, noted, CONTEXT);
  return (await rescue(identity, note.id, commands)) ? noted : { ...known, asked: noted.asked };
}

/** The newest snapshot that could be restored, and what the files lack. */
async function restoreNewest(
  lifecycle: WorkspaceLifecycle,
  notes: readonly SnapshotNote[],
): Promise<{ note: SnapshotNote | undefined; lacks: Lacks }> {
  for (const note of notes.toReversed()) {
    const lacks = await lifecycle.restore(note.id);
    if (lacks !== undefined) return { note, lacks };
  }
  return { note: undefined, lacks: LACKS_NOTHING };
}

/** The open operation has changed the workspace itself. */
async function hasActed(session: Session, lane: LaneLog, lost: readonly string[]): Promise<boolean> {
  if (lane.open === undefined) return false;
  return lost.length > 0 || (await changesBehind(session, lane, lane.open.fromTipId)).length > 0;
}

/**
 * A message for the model, as a part of a commit. Between a tool call and its result nothing may stand: there it waits for the next request, as
 * what Pi's own lane appends does. Elsewhere it comes next, so that a request which is made again has it.
 */
async function tellWrites(reader: SessionMutator, { tipId, open }: LaneLog, id: string, text: string): Promise<Write[]> {
  const message = { role: "user" as const, content: [{ type: "text" as const, text }], timestamp: Date.now() };
  if (open === undefined || open.state.at === "starting" || open.state.at.startsWith("assistant.")) {
    return [insertEntry({ id, parentId: tipId, type: "message", message }), setValue(branchTip(LANE), id)];
  }
  const lane = (await reader.getValue(laneState(LANE), CONTEXT))?.value;
  if (lane === undefined) throw new Error("a lane with an open operation has a state");
  const inbox = [...lane.inbox, { entryId: id, kind: "write" as const }];
  return [setValue(pendingEntry(id), { type: "message", payload: message }), setValue(laneState(LANE), { ...lane, inbox })];
}
