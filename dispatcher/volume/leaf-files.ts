import type { JsonObject } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError, invalidArgument } from "@serverless-harness/kit/errors";
import { isName, type Validation } from "@serverless-harness/kit/validate";
import { type DecisionKind, type LeafFiles, LeafKind, type LeafSpec } from "@serverless-harness/proto/leaf";
import { parseObject } from "../http/body.ts";
import { kindOf, numberedDecision } from "../numbered-decision.ts";
import { gatePath, markerPath } from "./contents.ts";
import type { Volume } from "./volume.ts";

const MAX_PATH_BYTES = 4096;
const MAX_SHOWN_BYTES = 1024;
/** Of inputs, as of `spec.input`. */
const MAX_INPUTS_BYTES = 1024 * 1024;
/** Of a decision, with feedback of 64 KiB that is escaped as JSON. */
const MAX_DECISION_BYTES = 1024 * 1024;

/** Check the files of a leaf: that they may be read and written is seen when that is done. `volumeOf`: the part of the volume for its tenant. */
export function checkFiles(v: Validation, { files, kind, input, tenant }: LeafSpec, volumeOf: () => Volume | undefined): void {
  // Nobody has a part who has no name.
  if (files === undefined || !(tenant === "" || isName(tenant))) return;
  const volume = volumeOf();
  if (volume === undefined) {
    v.fail("spec.files", "can't be used: this dispatcher has no volume (DISPATCHER_VOLUME)");
    return;
  }
  v.check("spec.files.inputs_ref", files.inputsRef === "" || kind === LeafKind.TASK, "is for LEAF_KIND_TASK only: put it into the prompt");
  v.check("spec.input", files.inputsRef === "" || input === undefined, "must not be set with spec.files.inputs_ref, which is read instead");
  v.maxBytes("spec.files.shown_session_id", files.shownSessionId, MAX_SHOWN_BYTES);
  v.check("spec.files.shown_session_id", files.shownSessionId.isWellFormed(), "must be valid Unicode");
  for (const [field, path] of refs(files)) {
    v.maxBytes(field, path, MAX_PATH_BYTES);
    const problem = pathProblem(volume, path);
    if (problem !== undefined) v.fail(field, problem);
  }
  const written = [files.resultRef, markerPath(files), gatePath(files)].filter((path) => path !== "");
  v.check("spec.files", new Set(written).size === written.length, "must be different files: result, marker and gate");
}

/** Why a path can't be one of the volume's; `undefined`: it can. */
export function pathProblem(volume: Volume, path: string): string | undefined {
  try {
    volume.require(path);
    return undefined;
  } catch (error) {
    return problemOf(error);
  }
}

/** Read what a task is to be given. INVALID_ARGUMENT says what is wrong with it. */
export async function readInputs(volume: Volume, path: string): Promise<JsonObject> {
  const refuse = (description: string): never => {
    throw invalidArgument([{ field: "spec.files.inputs_ref", description }]);
  };
  const content = await volume.read(path, MAX_INPUTS_BYTES).catch((error: unknown) => refuse(problemOf(error)));
  if (content === undefined) return refuse("does not exist: write the inputs before the leaf is submitted");
  try {
    return parseObject(content, "{}") as JsonObject;
  } catch {
    return refuse("must hold a JSON object in UTF-8");
  }
}

/** Read a file with a decision: its question's number, and what is decided. INVALID_ARGUMENT says what is wrong with it. */
export async function readDecision(
  volume: Volume | undefined,
  path: string,
): Promise<{ questionNumber: number; kind: DecisionKind; feedback: string }> {
  const refuse = (description: string): never => {
    throw invalidArgument([{ field: "decision_ref", description }]);
  };
  if (volume === undefined) return refuse("can't be used: this dispatcher has no volume (DISPATCHER_VOLUME)");
  const content = await volume.read(path, MAX_DECISION_BYTES).catch((error: unknown) => refuse(problemOf(error)));
  if (content === undefined) return refuse("does not exist");
  const decision = numberedDecision(objectIn(content));
  if (decision === undefined)
    return refuse('must hold JSON as {"gateId": 0, "action": "approve", "feedback": ""}; the actions are approve, reject and abort');
  return { questionNumber: decision.questionNumber, kind: kindOf(decision), feedback: decision.feedback };
}

function objectIn(content: Buffer): unknown {
  try {
    return parseObject(content, "{}");
  } catch {
    return undefined;
  }
}

function problemOf(error: unknown): string {
  if (!(error instanceof HarnessError)) throw error;
  if (error.reason === "path_outside") return "must be an absolute path to a file inside of the volume, also where links lead";
  return error.code === Code.Internal ? "can't be used" : error.message;
}

function refs({ inputsRef, resultRef, doneMarkerRef, gateRef }: LeafFiles): Array<[field: string, path: string]> {
  const all: Array<[string, string]> = [
    ["spec.files.inputs_ref", inputsRef],
    ["spec.files.result_ref", resultRef],
    ["spec.files.done_marker_ref", doneMarkerRef],
    ["spec.files.gate_ref", gateRef],
  ];
  return all.filter(([, path]) => path !== "");
}
