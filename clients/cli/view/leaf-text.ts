import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Attempt, FailureReason, type Gate, type Leaf, LeafSchema, LeafState, type Tombstone } from "@serverless-harness/proto/leaf";
import type { Colors, Output } from "../output.ts";
import { messageText } from "./event-text.ts";
import { ago, counted, duration, fieldsText, isoTime } from "./format.ts";
import { wishText } from "./sandbox-text.ts";

/** A leaf as the API writes it in JSON. */
export function leafJson(leaf: Leaf): JsonValue {
  return toJson(LeafSchema, leaf);
}

/** The leaf that an answer has to hold; an empty one if it holds none. */
export function emptyLeaf(leaf: Leaf | undefined): Leaf {
  return leaf ?? create(LeafSchema);
}

/** A state's name as the CLI writes it. */
export function stateName(state: LeafState): string {
  return nameOf(LeafState, state);
}

/** The name of a value of an enum, in lower case; `unknown` for a number that this version doesn't know. */
export function nameOf(values: Readonly<Record<string, number>>, value: number): string {
  return (Object.keys(values).find((name) => values[name] === value) ?? "unknown").toLowerCase();
}

/** Show a leaf's record, as a command's whole answer; `waits`: what it waits for, if that is known. */
export function showLeaf(out: Output, found: Leaf | undefined, waits?: string): void {
  const leaf = emptyLeaf(found);
  out.answer({ leaf: leafJson(leaf), ...(waits === undefined ? {} : { waits }) }, leafText(leaf, out.color, waits));
}

/** A leaf's record for a human: a line for each thing that is known, then the result. */
export function leafText(leaf: Leaf, color: Colors, waits?: string): string {
  const { spec, usage, failure } = leaf;
  const labels = Object.entries(spec?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const used = usage && `${counted(usage.modelCalls, "model call")}, ${usage.inputTokens} + ${usage.outputTokens} tokens`;
  return fieldsText(
    [
      ["leaf", leaf.leafId],
      ["session", spec?.sessionId],
      ["state", paintState(leaf.state, color)],
      ["waits", waits],
      ["created", `${isoTime(leaf.createdAtMs)} (${ago(Number(leaf.createdAtMs))} ago)`],
      ["took", isOver(leaf.state) ? duration(Number(leaf.updatedAtMs - leaf.createdAtMs)) : undefined],
      ["not before", leaf.notBeforeMs > 0n ? isoTime(leaf.notBeforeMs) : undefined],
      ["brain", leaf.worker && `${leaf.worker.name} (pid ${leaf.worker.pid})`],
      ["claims", String(leaf.claims)],
      ["attempts failed", leaf.attempts.map((attempt) => attemptText(attempt)).join("\n")],
      ["redriven", leaf.redrives > 0 ? counted(leaf.redrives, "time") : undefined],
      ["cancel", leaf.cancelRequested && !isOver(leaf.state) ? "asked for" : undefined],
      ["unread", leaf.messages.map((message) => messageText(message)).join("\n")],
      ["asks", leaf.openGates.map((gate) => gateText(gate)).join("\n")],
      ["failure", failure && color.red(`${nameOf(FailureReason, failure.reason)}: ${failure.message}`)],
      ["used", used],
      ["labels", labels.join(" ")],
      ["sandbox", wishText(spec?.sandbox)],
      ["prompt", spec?.prompt.trim()],
      ["input", spec?.input && valueText(spec.input)],
      ["fork of", spec?.fork && `${spec.fork.sessionId} ${spec.fork.entryId}`.trim()],
      ["repository", spec?.repository && `${spec.repository.url} ${spec.repository.ref}`.trim()],
      ["result", leaf.result?.text.trimEnd()],
      ["value", leaf.result?.value === undefined ? undefined : valueText(leaf.result.value)],
      ["base commit", leaf.result?.baseCommit],
      ["left out", leaf.result?.leftOut.join("\n")],
      ["patch", leaf.result?.patch.trimEnd()],
    ],
    color,
  );
}

/** JSON for a human. */
function valueText(value: JsonValue): string {
  return JSON.stringify(value, null, 2);
}

function attemptText({ endedAtMs, failure }: Attempt): string {
  const reason = failure === undefined ? "unknown" : `${nameOf(FailureReason, failure.reason)}: ${failure.message}`;
  return `${isoTime(endedAtMs)} ${reason}`;
}

/** A gate's question for a human, in lines. */
export function gateText({ gateId, tool, summary, proposedAction, deadlineMs }: Gate): string {
  const until = deadlineMs > 0n ? ` (until ${isoTime(deadlineMs)})` : "";
  return [`${summary}${until}`, proposedAction, `gate ${gateId}, of the tool ${tool}`].filter((line) => line !== "").join("\n");
}

/** A state's name in its colour. */
export function paintState(state: LeafState, color: Colors): string {
  const name = stateName(state);
  switch (state) {
    case LeafState.DONE:
      return color.green(name);
    case LeafState.FAILED:
    case LeafState.ABORTED:
      return color.red(name);
    case LeafState.RETRYING:
    case LeafState.CANCELLED:
      return color.yellow(name);
    default:
      return color.cyan(name);
  }
}

/** No event of it comes after this state. */
export function isOver(state: LeafState): boolean {
  return state === LeafState.DONE || state === LeafState.FAILED || state === LeafState.CANCELLED || state === LeafState.ABORTED;
}

/** What is left of a leaf whose record has expired. */
export function tombstoneText({ leafId, state, expiredAtMs }: Tombstone): string {
  return `${leafId} ended as ${stateName(state)}; its record was kept until ${isoTime(expiredAtMs)}`;
}
