import { type Capture, Retain } from "@serverless-harness/proto/hands";
import type { CaptureRecord } from "../journal/record.ts";

/** Bounds of a capture that names none. */
const DEFAULT_BYTES = 50 * 1024;
const DEFAULT_LINES = 2000;
/** A reader of a tail gets what is new at most this often, in milliseconds, after the first piece. */
export const TAIL_INTERVAL_MS = 50;

/** Read a capture from a request, with its defaults. */
export function readCapture(capture: Capture): CaptureRecord {
  return {
    maxBytes: Number(capture.maxBytes) || DEFAULT_BYTES,
    maxLines: Number(capture.maxLines) || DEFAULT_LINES,
    retain: capture.retain === Retain.HEAD ? "head" : "tail",
    spill: capture.spill,
  };
}

/** The output is larger than the capture allows, or may be: after `maxLines` newlines a last line without one is one too many. */
export function exceedsCapture(capture: CaptureRecord, output: { readonly total: number; readonly newlines: number }): boolean {
  return output.total > capture.maxBytes || output.newlines >= capture.maxLines;
}

/** What a reader with a capture gets now: bytes from `from` up to `to`; those between its own offset and `from` are left out. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** The part of an output of `total` bytes that matters to a reader at `offset`. */
export function captureWindow(capture: CaptureRecord, offset: number, total: number): Window {
  if (capture.retain === "head") return { from: offset, to: Math.max(offset, Math.min(total, capture.maxBytes)) };
  return { from: Math.max(offset, total - capture.maxBytes), to: total };
}
