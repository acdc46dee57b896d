import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import { type LeafStore, sessionKey } from "@serverless-harness/session";
import type { Member } from "./member.ts";
import { Slots } from "./slots.ts";

/** Sessions that the store is asked for at once, and workspaces of one sandbox that are deleted at once. */
const [ASKED_AT_ONCE, DELETED_AT_ONCE] = [500, 4];

/**
 * Removes what a sandbox has of sessions that went on elsewhere: while it was away, or because somebody died between both. Returns how many. Throws what the
 * store and the sandbox throw. Each copy is deleted under the newest epoch that the sandbox itself has seen, so that nobody is fenced off.
 */
export async function removeOldCopies(
  member: Member,
  store: Pick<LeafStore, "sandboxes">,
  signal: AbortSignal,
  log: Logger,
): Promise<number> {
  const { found, sandbox, stateId = "" } = member;
  const { name, tenant } = found;
  const own = (await sandbox.workspaces(tenant, signal)).filter((each) => member.serves(sessionOf(each.name).tenant));
  const workspaces = new Map(own.map((each) => [each.name, each.epoch]));
  const slots = new Slots(DELETED_AT_ONCE);
  let removed = 0;
  for (const names of chunks([...workspaces.keys()], ASKED_AT_ONCE)) {
    const old = await store.sandboxes.elsewhere({ name, stateId }, names.map(sessionOf));
    await Promise.all(
      old.map((session) =>
        slots.use(async () => {
          const workspace = sessionKey(session);
          if (signal.aborted) return;
          try {
            await sandbox.deleteWorkspace(workspace, workspaces.get(workspace) ?? 0n, signal, false);
            removed += 1;
          } catch (error) {
            // Its owner has come back to it meanwhile.
            if (!(error instanceof HarnessError) || error.reason !== "stale_epoch") throw error;
          }
        }),
      ),
    );
  }
  if (removed > 0) log.info({ sandbox: name, removed }, "copies of sessions that are elsewhere now were removed");
  return removed;
}

function sessionOf(workspace: string): { readonly tenant: string; readonly sessionId: string } {
  const [tenant = "", sessionId = ""] = workspace.split("/");
  return { tenant, sessionId };
}

function chunks<T>(all: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, i) => all.slice(i * size, (i + 1) * size));
}
