import { type LeafEvent, type LeafMessage, MessageMode, type WorkspaceRestored } from "@serverless-harness/proto/leaf";
import { firstLine } from "./format.ts";

/** What an event tells beside the agent's own work, in a line; `undefined` for other events. */
export function newsText({ event }: LeafEvent): string | undefined {
  switch (event.case) {
    case "messageReceived":
      return event.value.message === undefined ? undefined : `message ${messageText(event.value.message)}`;
    case "messageDelivered":
      return `message ${event.value.messageId} delivered`;
    case "compacted":
      return `summed the conversation up: ${event.value.tokensBefore} tokens before, ${event.value.reason}`;
    case "snapshotTaken":
      return `stored the workspace: snapshot ${event.value.snapshotId}`;
    case "workspaceRestored":
      return restoredText(event.value);
    default:
      return undefined;
  }
}

/** A message in a line: who says what. */
export function messageText({ messageId, mode, sentBy, text }: LeafMessage): string {
  const by = sentBy === "" ? "" : ` by ${sentBy}`;
  return `${messageId}${by}${mode === MessageMode.FOLLOW_UP ? ", to follow up" : ""}: ${firstLine(text, 200)}`;
}

function restoredText({ snapshotId, behind }: WorkspaceRestored): string {
  const from = snapshotId === "" ? "made again without files, as there was no snapshot" : `restored from snapshot ${snapshotId}`;
  return `the workspace was lost: ${from}${behind ? "; the latest changes are gone" : ""}`;
}
