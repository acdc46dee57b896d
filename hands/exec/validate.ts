import { constants } from "node:os";
import { invalidArgument } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import {
  type AttachRequest,
  type Capture,
  type ChannelRequest,
  type ExecSpec,
  type NotifyEndRequest,
  Retain,
  type RunRequest,
  type SignalRequest,
} from "@serverless-harness/proto/hands";

/** Bounds of what a request may ask for. */
const MAX_COMMAND_BYTES = 1024 * 1024;
const MAX_ENVIRONMENT_BYTES = 256 * 1024;
const MAX_PATH_BYTES = 4096;
const MAX_CAPTURE_BYTES = 16 * 1024 * 1024;
const MAX_GRACE_MS = 600_000;
const MAX_URL_BYTES = 2048;
const MAX_NOTICE_BYTES = 4096;
/** Longest that a timer of Node can wait. */
/** The longest time of a timer, and the most lines. */
const MAX_INT32 = 2_147_483_647;
const NUL = "must not hold a NUL character";

interface Named {
  readonly execId: string;
  readonly workspace: string;
}

/** Throws INVALID_ARGUMENT that lists every wrong field of a run. */
export function validateRun(request: RunRequest): ExecSpec {
  const validation = new Validation();
  const { spec } = request;
  if (spec === undefined) validation.fail("spec", "is required");
  else checkSpec(validation, spec);
  checkReading(validation, request);
  validation.done();
  return spec as ExecSpec;
}

/** Throws INVALID_ARGUMENT that lists every wrong field of an attach. */
export function validateAttach(request: AttachRequest): void {
  const validation = new Validation();
  checkNamed(validation, "", request);
  validation.epoch("epoch", request.epoch);
  checkReading(validation, request);
  if (request.capture !== undefined) checkCapture(validation, "capture.", request.capture);
  validation.done();
}

/** Throws INVALID_ARGUMENT that lists every wrong field. Returns the signal. */
export function validateSignal(request: SignalRequest): NodeJS.Signals {
  const validation = new Validation();
  checkNamed(validation, "", request);
  validation.epoch("epoch", request.epoch);
  const name = request.signal === "" ? "SIGTERM" : request.signal;
  const known = request.cancel || name in constants.signals;
  validation.check("signal", known, "must be the name of a signal, as `SIGINT`");
  validation.done();
  return name as NodeJS.Signals;
}

/** Throws INVALID_ARGUMENT if an exec isn't named properly. */
export function validateNamed(request: Named): void {
  const validation = new Validation();
  checkNamed(validation, "", request);
  validation.done();
}

/** Check who wants to hear of an exec's end. Returns the address. */
export function validateNotice(request: NotifyEndRequest): URL {
  const validation = new Validation();
  checkNamed(validation, "", request);
  validation.epoch("epoch", request.epoch);
  validation.maxBytes("url", request.url, MAX_URL_BYTES);
  validation.maxBytes("body", request.body, MAX_NOTICE_BYTES);
  const url = URL.canParse(request.url) ? new URL(request.url) : undefined;
  const known = url?.protocol === "http:" || url?.protocol === "https:";
  validation.check("url", known, "must be an address that begins with http: or https:");
  validation.done();
  return url ?? new URL("http://nowhere.invalid");
}

function checkSpec(validation: Validation, spec: ExecSpec): void {
  checkNamed(validation, "spec.", spec);
  validation.epoch("spec.epoch", spec.epoch);
  checkCommand(validation, spec);
  validation.maxBytes("spec.cwd", spec.cwd, MAX_PATH_BYTES);
  validation.check("spec.cwd", !spec.cwd.includes("\0"), NUL);
  checkEnvironment(validation, spec.env);
  validation.range("spec.timeout_ms", spec.timeoutMs, 0, MAX_INT32);
  validation.range("spec.no_output_timeout_ms", spec.noOutputTimeoutMs, 0, MAX_INT32);
  validation.range("spec.kill_grace_ms", spec.killGraceMs, 0, MAX_GRACE_MS);
  if (spec.capture !== undefined) checkCapture(validation, "spec.capture.", spec.capture);
}

function checkNamed(validation: Validation, prefix: string, named: Named): void {
  validation.id(`${prefix}exec_id`, named.execId);
  validation.workspace(`${prefix}workspace`, named.workspace);
}

function checkCommand(validation: Validation, { command }: ExecSpec): void {
  if (command.case === undefined) {
    validation.fail("spec.command", "exactly one of shell and argv is required");
    return;
  }
  const parts = command.case === "shell" ? [command.value] : command.value.args;
  const field = command.case === "shell" ? "spec.shell" : "spec.argv.args";
  validation.check(field, parts[0] !== undefined && parts[0] !== "", "must not be empty");
  validation.maxBytes(field, parts.join("\0"), MAX_COMMAND_BYTES);
  validation.check(field, !parts.some((part) => part.includes("\0")), NUL);
}

function checkEnvironment(validation: Validation, env: ExecSpec["env"]): void {
  for (const [name, value] of Object.entries(env)) {
    validation.check(`spec.env[${name}]`, /^[^=\0]+$/.test(name), "a name must not be empty, nor hold = or NUL");
    validation.check(`spec.env[${name}]`, !value.includes("\0"), NUL);
  }
  validation.maxBytes("spec.env", Object.entries(env).flat().join("="), MAX_ENVIRONMENT_BYTES);
}

function checkCapture(validation: Validation, prefix: string, capture: Capture): void {
  validation.range(`${prefix}max_bytes`, capture.maxBytes, 0, MAX_CAPTURE_BYTES);
  validation.range(`${prefix}max_lines`, capture.maxLines, 0, MAX_INT32);
  const known = capture.retain === Retain.UNSPECIFIED || capture.retain === Retain.TAIL || capture.retain === Retain.HEAD;
  validation.check(`${prefix}retain`, known, "must be RETAIN_TAIL or RETAIN_HEAD");
}

function checkReading(validation: Validation, request: { readonly fromOffset: bigint; readonly initialCredit: bigint }): void {
  validation.range("from_offset", request.fromOffset, 0, Number.MAX_SAFE_INTEGER);
  validation.range("initial_credit", request.initialCredit, 0, Number.MAX_SAFE_INTEGER);
}

/** No exec and no workspace has a longer name, in characters. */
const MAX_NAME = 512;

/** Throws INVALID_ARGUMENT if a message names something that can't be: its name goes into answers, so it must not be of any size. */
export function assertNames({ request }: ChannelRequest): void {
  if (request.case === undefined || request.case === "ping") return;
  const named = request.case === "run" ? request.value.spec : request.value;
  for (const [field, name] of [
    ["exec_id", named?.execId],
    ["workspace", named?.workspace],
  ] as const) {
    if (name !== undefined && name.length > MAX_NAME)
      throw invalidArgument([{ field: `${request.case}.${field}`, description: `must be at most ${MAX_NAME} characters` }]);
  }
}
