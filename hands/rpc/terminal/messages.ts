import { create } from "@bufbuild/protobuf";
import { Validation } from "@serverless-harness/kit/validate";
import {
  type TerminalEnded,
  TerminalEndedSchema,
  type Terminal as TerminalMessage,
  TerminalSchema,
  type TerminalServiceAttachResponse,
  TerminalServiceAttachResponseSchema,
} from "@serverless-harness/proto/hands";
import type { Terminal, TerminalEnd, TerminalUpdate } from "../../terminals/terminal.ts";

/** Bounds of what a client may send. */
export const MAX_INPUT_BYTES = 64 * 1024;
const MAX_SIDE = 1000;
const PREVIEW = 200;

/** The two fields by which every request names its terminal. */
export function validateTarget(request: { readonly workspace: string; readonly terminalId: string }): void {
  const validation = new Validation();
  checkTarget(validation, request);
  validation.done();
}

/** As {@link validateTarget}, into a validation that goes on. */
export function checkTarget(validation: Validation, request: { readonly workspace: string; readonly terminalId: string }): void {
  validation.workspace("workspace", request.workspace);
  validation.id("terminal_id", request.terminalId);
}

/** A window's size; `prefix` is the path of the message that holds it. */
export function checkSize(validation: Validation, prefix: string, size: { readonly columns: number; readonly rows: number }): void {
  validation.range(`${prefix}columns`, size.columns, 1, MAX_SIDE);
  validation.range(`${prefix}rows`, size.rows, 1, MAX_SIDE);
}

/** Input of at most {@link MAX_INPUT_BYTES}. */
export function checkInput(validation: Validation, field: string, data: Uint8Array): void {
  validation.check(field, data.length <= MAX_INPUT_BYTES, `must be at most ${MAX_INPUT_BYTES} bytes; send several messages`);
}

export function terminalMessage(terminal: Terminal): TerminalMessage {
  const { total, first } = terminal.offsets;
  return create(TerminalSchema, {
    terminalId: terminal.id,
    workspace: terminal.workspace,
    commandPreview: terminal.spec.argv.join(" ").slice(0, PREVIEW),
    pid: BigInt(terminal.pid),
    ...terminal.size,
    totalBytes: BigInt(total),
    firstOffset: BigInt(first),
    watchers: terminal.watchers,
    startedAtMs: BigInt(terminal.startedAtMs),
    ...(terminal.end === undefined ? {} : { ended: endedMessage(terminal.end) }),
  });
}

export function updateMessage(update: TerminalUpdate): TerminalServiceAttachResponse {
  return create(TerminalServiceAttachResponseSchema, { event: eventOf(update) });
}

function eventOf(update: TerminalUpdate): TerminalServiceAttachResponse["event"] {
  switch (update.kind) {
    case "output":
      return { case: "output", value: { $typeName: "harness.hands.v1.TerminalOutput", offset: BigInt(update.offset), data: update.data } };
    case "gap":
      return {
        case: "gap",
        value: { $typeName: "harness.hands.v1.TerminalGap", fromOffset: BigInt(update.from), toOffset: BigInt(update.to) },
      };
    case "resized":
      return { case: "resized", value: { $typeName: "harness.hands.v1.WindowSize", columns: update.columns, rows: update.rows } };
    case "taken":
      return { case: "taken", value: { $typeName: "harness.hands.v1.TerminalTaken", inputId: update.inputId } };
    case "ended":
      return { case: "ended", value: endedMessage(update.end) };
  }
}

function endedMessage(end: TerminalEnd): TerminalEnded {
  return create(TerminalEndedSchema, { exitCode: end.exitCode, signal: end.signal ?? "", endedAtMs: BigInt(end.endedAtMs) });
}
