import { normalize } from "node:path";
import { Validation } from "@serverless-harness/kit/validate";
import type { OpenRequest, TerminalInput, TerminalServiceAttachRequest } from "@serverless-harness/proto/hands";

const MAX_INPUT_BYTES = 64 * 1024;
const MAX_ARGV_BYTES = 128 * 1024;
const MAX_SIDE = 1000;

/** A window's size in characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Checks of the fields that terminal requests share. */
export class TerminalValidation extends Validation {
  /** The two fields by which every request names its terminal. */
  target(request: { readonly workspace: string; readonly terminalId: string }): void {
    this.workspace("workspace", request.workspace);
    this.id("terminal_id", request.terminalId);
  }

  /** `prefix`: the path of the message that holds the size. */
  size(prefix: string, size: Size): void {
    this.range(`${prefix}columns`, size.columns, 1, MAX_SIDE);
    this.range(`${prefix}rows`, size.rows, 1, MAX_SIDE);
  }

  input(field: string, data: Uint8Array): void {
    this.check(field, data.length <= MAX_INPUT_BYTES, `must be at most ${MAX_INPUT_BYTES} bytes; send several messages`);
  }
}

/** Throws INVALID_ARGUMENT that lists every wrong field. */
export function validateOpen(request: OpenRequest, size: Size): void {
  const validation = new TerminalValidation();
  validation.target(request);
  validation.size("", size);
  validation.maxBytes("argv", request.argv.join("\0"), MAX_ARGV_BYTES);
  validation.check("argv", !request.argv.some((arg) => arg.includes("\0")), "must not hold a NUL");
  validation.check("argv", request.argv[0] !== "", "must begin with a program");
  validation.check("cwd", staysInside(request.cwd), "must stay inside the workspace");
  for (const [name, value] of Object.entries(request.env)) {
    const isGood = /^[^=\0]+$/.test(name) && !value.includes("\0");
    validation.check(`env[${name}]`, isGood, "must be a name without `=`, and a value without NUL");
  }
  validation.done();
}

/** Lexically; the kernel resolves the rest inside the sandbox. */
function staysInside(path: string): boolean {
  return !path.startsWith("/") && !path.includes("\0") && normalize(path).split("/")[0] !== "..";
}

/** Input or a new size, with an id or without one (`""`). */
export type Input = { readonly inputId: string } & ({ readonly data: Uint8Array } | Size);

/** What a watcher does. INVALID_ARGUMENT. */
export function readInput({ request }: TerminalServiceAttachRequest): Input {
  const validation = new TerminalValidation();
  const [inputId, prefix, input] =
    request.case === "act" ? [request.value.inputId, "act.", request.value.input] : ["", "", withoutId(request)];
  if (request.case === "act") validation.id("act.input_id", inputId);
  if (input.case === "data") validation.input(request.case === "act" ? "act.data" : "input", input.value);
  else if (input.case === "resize") validation.size(`${prefix}resize.`, input.value);
  else validation.fail(`${prefix}request`, "must be input or a size after the first message");
  validation.done();
  if (input.case === "data") return { inputId, data: input.value };
  return { inputId, columns: input.value?.columns ?? 0, rows: input.value?.rows ?? 0 };
}

/** A message without an id, in the form of one with an id. */
function withoutId(request: TerminalServiceAttachRequest["request"]): TerminalInput["input"] {
  if (request.case === "input") return { case: "data", value: request.value };
  if (request.case === "resize") return { case: "resize", value: request.value };
  return { case: undefined };
}
