import { FailureReasonSchema, type Leaf, type LeafFiles, LeafKind, LeafState, LeafStateSchema } from "@serverless-harness/proto/leaf";
import { isTerminal } from "@serverless-harness/session";
import type { Question } from "../questions.ts";

/** A file that is to be written, with all that it holds. */
export interface NewFile {
  readonly path: string;
  readonly content: string;
}

/** In which words a leaf's end is told. */
export interface EndWords {
  readonly status: string;
  /** Of a failure. */
  readonly reason: string | null;
}

/** The end of a leaf in our own words. */
export function endWords({ state, failure }: Leaf): EndWords {
  const status = (LeafStateSchema.value[state]?.localName ?? "").toLowerCase();
  const reason = failure === undefined ? null : (FailureReasonSchema.value[failure.reason]?.localName ?? "INTERNAL").toLowerCase();
  return { status, reason: state === LeafState.FAILED ? reason : null };
}

/**
 * What a leaf has to show in its files now, in the order in which it is to be written: the result before the marker, so that who sees the marker finds the
 * result. The same leaf at the same event shows the same bytes.
 */
export function filesOf(leaf: Leaf, files: LeafFiles, asked: readonly Question[], words: EndWords = endWords(leaf)): NewFile[] {
  const sessionId = files.shownSessionId || (leaf.spec?.sessionId ?? "");
  if (isTerminal(leaf.state)) {
    const ts = timeOf(leaf.updatedAtMs);
    const marker = { status: words.status, sessionId, reason: words.reason, ts };
    return [
      ...(leaf.state === LeafState.DONE ? fileAt(files.resultRef, resultOf(leaf)) : []),
      ...fileAt(markerPath(files), JSON.stringify(marker)),
    ];
  }
  const [question] = leaf.state === LeafState.AWAITING_APPROVAL ? asked : [];
  if (question === undefined) return [];
  const { number, gate } = question;
  const shown = { summary: gate.summary, proposed_action: gate.proposedAction };
  const waits = { status: "awaiting_approval", sessionId, gateId: number, gate: shown, ts: timeOf(gate.openedAtMs) };
  return fileAt(gatePath(files), JSON.stringify(waits));
}

/** Where the marker is; empty: there is none. */
export function markerPath({ doneMarkerRef, resultRef }: LeafFiles): string {
  return doneMarkerRef || (resultRef === "" ? "" : `${resultRef}.status`);
}

/** Where the gate file is; empty: there is none. */
export function gatePath({ gateRef, resultRef }: LeafFiles): string {
  return gateRef || (resultRef === "" ? "" : `${resultRef}.gate`);
}

function fileAt(path: string, content: string): NewFile[] {
  return path === "" ? [] : [{ path, content }];
}

function resultOf({ spec, result }: Leaf): string {
  if (spec?.kind === LeafKind.SOLVE) return result?.patch ?? "";
  return spec?.kind === LeafKind.TASK ? JSON.stringify(result?.value ?? {}) : (result?.text ?? "");
}

function timeOf(ms: bigint): string {
  return new Date(Number(ms)).toISOString();
}
