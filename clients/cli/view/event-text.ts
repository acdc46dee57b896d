import {
  DecisionKind,
  type LeafEvent,
  type LeafMessage,
  MessageMode,
  type ToolEnded,
  type ToolStarted,
  type WorkspaceRestored,
} from "@serverless-harness/proto/leaf";
import { firstLine } from "./format.ts";
import { placedText } from "./sandbox-text.ts";

/** The argument that says most, by its name in the built-in tools. */
const TELLING = ["command", "path", "pattern", "query"];
const LINE_CHARS = 100;

/** Shows a leaf's events to a human. */
export interface EventView {
  show(event: LeafEvent): void;
  /** The leaf is over. */
  end(): void;
}

/** What an event says besides the agent's own work, in a line; `undefined` for other events. */
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
    case "placed":
      return placedText(event.value);
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
  if (snapshotId === "") return "the workspace was lost: made again without files, as there was no snapshot";
  const from = `restored from snapshot ${snapshotId}`;
  return behind ? `the workspace was lost: ${from}; the latest changes are gone` : `the workspace is in another place now: ${from}`;
}

/** A tool call in one line: `bash  npm test`. */
export function toolCallText({ tool, arguments: args, resumed }: ToolStarted): string {
  const name = TELLING.find((key) => typeof args?.[key] === "string");
  const telling = name === undefined ? "" : `  ${firstLine(String(args?.[name]), LINE_CHARS)}`;
  return `${tool}${telling}${resumed ? "  (goes on)" : ""}`;
}

/** The first lines of a tool's result, and how many more there are. */
export function toolResultLines({ text }: ToolEnded, count: number): string[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const shown = lines.slice(0, count).map((line) => firstLine(line, LINE_CHARS));
  return lines.length > count ? [...shown, `… ${lines.length - count} more lines`] : shown;
}

/** Says why tool calls ended without a result: one that a human ended is no failure of the tool. */
export class ToolEndings {
  readonly #rejected = new Set<string>();
  #stopped = "";

  /** Every event of the leaf, in order. */
  take({ event }: LeafEvent): void {
    if (event.case === "cancelRequested") this.#stopped = "cancelled";
    if (event.case !== "gateDecided") return;
    const { gateId, decision } = event.value;
    if (decision?.kind === DecisionKind.ABORT) this.#stopped = "aborted";
    else if (decision?.kind === DecisionKind.REJECT) this.#rejected.add(gateId);
  }

  isFailure(ended: ToolEnded): boolean {
    return ended.isError && this.#stopped === "" && !this.#rejected.has(ended.invocationId);
  }

  /** `bash ended`, `bash failed`, `bash was not approved`, `bash was aborted`. */
  text(ended: ToolEnded): string {
    if (!ended.isError) return `${ended.tool} ended`;
    if (this.#rejected.has(ended.invocationId)) return `${ended.tool} was not approved`;
    return this.#stopped === "" ? `${ended.tool} failed` : `${ended.tool} was ${this.#stopped}`;
  }
}
