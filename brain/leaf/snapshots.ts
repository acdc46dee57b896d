import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "@serverless-harness/kit/log";
import type { RunOutcome } from "@serverless-harness/pi-fork";
import type { OpenAgent } from "./agent-seams.ts";

/** How long to wait for a snapshot, in milliseconds. Then the leaf goes on without it, and hands completes it alone. */
const PATIENCE_MS: Readonly<Record<RunOutcome["kind"], number>> = {
  completed: 10_000,
  waiting: 10_000,
  retry: 10_000,
  // Somebody waits for the end.
  failed: 2000,
  cancelled: 2000,
  aborted: 2000,
  // A brain that drains hands all of its leaves back at once.
  suspended: 100,
  superseded: 0,
};
const DRAIN_MS = PATIENCE_MS.suspended;

/**
 * Have the workspace stored as an agent left it, if it can have changed: its id if that was done, in time. Never rejects, since a leaf must not
 * suffer from it. `letGo` resolves when the brain has to let go of the leaf.
 */
export async function takeSnapshot(
  open: Pick<OpenAgent, "agent" | "snapshot">,
  outcome: RunOutcome["kind"],
  letGo: Promise<unknown>,
  log: Logger,
): Promise<string | undefined> {
  if (outcome === "superseded") return undefined;
  const snapshotId = await open.agent.noteSnapshot();
  if (snapshotId === undefined) return undefined;
  const over = new AbortController();
  const { signal } = over;
  const pause = (ms: number): Promise<void> => sleep(ms, undefined, { signal }).catch(() => undefined);
  const late = Promise.race([pause(PATIENCE_MS[outcome]), letGo.then(() => pause(DRAIN_MS))]).then(() => "late" as const);
  try {
    const end = await Promise.race([open.snapshot(snapshotId).then(() => "taken" as const), late]);
    if (end === "taken") return snapshotId;
    log.info({ snapshotId }, "the snapshot takes long: it is not waited for");
  } catch (error) {
    log.warn({ err: error, snapshotId }, "no snapshot was taken");
  } finally {
    over.abort();
  }
  return undefined;
}
