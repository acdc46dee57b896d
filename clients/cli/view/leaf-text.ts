import { create, type JsonValue, toJson } from "@bufbuild/protobuf";
import { type Attempt, FailureReason, type Gate, type Leaf, LeafSchema, LeafState } from "@serverless-harness/proto/leaf";
import { ExitCode } from "../exit-codes.ts";
import type { Output } from "../output.ts";
import { ago, counted, duration, isoTime } from "./format.ts";
import { nameOf, stateName } from "./names.ts";
import { messageText } from "./news-text.ts";

type Colors = Output["color"];

/** A leaf as the API writes it in JSON. */
export function leafJson(leaf: Leaf): JsonValue {
  return toJson(LeafSchema, leaf);
}

/** A leaf that an answer must hold; an empty one in place of none. */
export function emptyLeaf(leaf: Leaf | undefined): Leaf {
  return leaf ?? create(LeafSchema);
}

/** Show a leaf's record, as a command's whole answer; `waits`: what it waits for, where that is known. */
export function showLeaf(out: Output, found: Leaf | undefined, waits?: string): ExitCode {
  const leaf = emptyLeaf(found);
  if (out.json) out.document({ leaf: leafJson(leaf), ...(waits === undefined ? {} : { waits }) });
  else out.line(leafText(leaf, out.color, waits));
  return ExitCode.ok;
}

/** A leaf's record for a human: a line for each thing that there is to tell, then the result. */
export function leafText(leaf: Leaf, color: Colors, waits?: string): string {
  const { spec, usage, failure } = leaf;
  const fields: Array<[string, string | undefined]> = [
    ["leaf", leaf.leafId],
    ["session", spec?.sessionId],
    ["state", paintState(leaf.state, stateName(leaf.state), color)],
    ["waits", waits],
    ["created", `${isoTime(leaf.createdAtMs)} (${ago(Number(leaf.createdAtMs))} ago)`],
    ["took", isOver(leaf.state) ? duration(Number(leaf.updatedAtMs - leaf.createdAtMs)) : undefined],
    ["not before", leaf.notBeforeMs > 0n ? isoTime(leaf.notBeforeMs) : undefined],
    ["brain", leaf.worker === undefined ? undefined : `${leaf.worker.name} (pid ${leaf.worker.pid})`],
    ["claims", String(leaf.claims)],
    ["attempts failed", leaf.attempts.map((attempt) => attemptText(attempt)).join("\n")],
    ["redriven", leaf.redrives > 0 ? counted(leaf.redrives, "time") : undefined],
    ["cancel", leaf.cancelRequested && !isOver(leaf.state) ? "asked for" : undefined],
    ["unread", leaf.messages.map((message) => messageText(message)).join("\n")],
    ["asks", leaf.openGates.map((gate) => gateText(gate)).join("\n")],
    ["failure", failure === undefined ? undefined : color.red(`${nameOf(FailureReason, failure.reason)}: ${failure.message}`)],
    [
      "used",
      usage === undefined ? undefined : `${counted(usage.modelCalls, "model call")}, ${usage.inputTokens} + ${usage.outputTokens} tokens`,
    ],
    [
      "labels",
      Object.entries(spec?.labels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .join(" "),
    ],
    ["prompt", (spec?.prompt ?? "").trim()],
    ["input", spec?.input === undefined ? undefined : valueText(spec.input)],
    ["fork of", spec?.fork === undefined ? undefined : `${spec.fork.sessionId} ${spec.fork.entryId}`.trim()],
    ["repository", spec?.repository === undefined ? undefined : `${spec.repository.url} ${spec.repository.ref}`.trim()],
    ["result", leaf.result === undefined ? undefined : leaf.result.text.trimEnd()],
    ["value", leaf.result?.value === undefined ? undefined : valueText(leaf.result.value)],
    ["base commit", leaf.result?.baseCommit],
    ["left out", leaf.result?.leftOut.join("\n")],
    ["patch", leaf.result === undefined ? undefined : leaf.result.patch.trimEnd()],
  ];
  const shown = fields.filter((field): field is [string, string] => field[1] !== undefined && field[1] !== "");
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown
    .map(([name, value]) => `${color.dim(name.padEnd(width))}  ${value.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`)
    .join("\n");
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
export function paintState(state: LeafState, name: string, color: Colors): string {
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

function isOver(state: LeafState): boolean {
  return state === LeafState.DONE || state === LeafState.FAILED || state === LeafState.CANCELLED || state === LeafState.ABORTED;
}
