import { type AgentLane, BACKGROUND_CONTEXT as CONTEXT } from "@earendil-works/pi-agent-core";
import type { WorkspaceLog } from "../workspace/workspace-log.ts";
import type { OperationLine, PastOperations } from "./operation-line.ts";

/**
 * Take the conversation and the workspace back to where they were before a leaf's first beginning. Where others came after it on its session, both
 * stay as they are, since the work of those is in them. It may be repeated at any point: what was done is done again, to the same end.
 */
export async function beginAnew(
  lane: AgentLane,
  workspaceLog: WorkspaceLog | undefined,
  line: OperationLine,
  { former }: PastOperations,
): Promise<void> {
  const [first] = former;
  const { lastOperationId } = await lane.inspectExecution(CONTEXT);
  if (first === undefined || lastOperationId === null) return;
  const navigationId = navigationOf(line.id);
  if (![...line.former, ...line.former.map(navigationOf), navigationId].includes(lastOperationId)) return;
  const notice = await workspaceLog?.takeBack(line.id, first.fromTipId);
  if ((await lane.getTipId(CONTEXT)) !== first.fromTipId) await navigate(lane, navigationId, first.fromTipId);
  if (notice !== undefined)
    await lane.appendMessage({ role: "user", content: [{ type: "text", text: notice }], timestamp: Date.now() }, CONTEXT);
  await workspaceLog?.tookBack(line.id);
}

async function navigate(lane: AgentLane, operationId: string, targetId: string | null): Promise<void> {
  const accepted = await lane.accept({ kind: "navigation", operationId, targetId }, CONTEXT);
  if (!accepted.ok) throw accepted.error;
  const driven = await lane.drive({ operationId }, CONTEXT);
  if (!driven.ok) throw driven.error;
}

function navigationOf(operationId: string): string {
  return `${operationId}.begin`;
}
