import { create } from "@bufbuild/protobuf";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type LeafFiles, LeafFilesSchema } from "@serverless-harness/proto/leaf";
import { parseObject } from "../http/body.ts";
import type { NumberedDecision } from "../numbered-decision.ts";
import { markerPath } from "../volume/contents.ts";
import { pathProblem } from "../volume/leaf-files.ts";
import type { Volume } from "../volume/volume.ts";
import { decisionIn, envelopeInvalid, type ReviewItem, type RunEnvelope, type RunFiles, readItem } from "./envelope.ts";

const MAX_BYTES = 1024 * 1024;

/** The volume that an envelope's files are on; `undefined`: it has none. INVALID_ARGUMENT where there is no volume. */
export function requireVolume({ files }: RunEnvelope, volume: Volume | undefined): Volume | undefined {
  if (files === undefined || volume !== undefined) return files && volume;
  const description = "can't be used: this dispatcher has no volume (DISPATCHER_VOLUME)";
  throw envelopeInvalid(["inputsRef", "resultRef"].map((field) => ({ field, description })));
}

/** The files that a run writes: those of an envelope that lie inside of the volume. An end whose marker can be written is told by it. */
export function filesInside({ sessionId, files }: RunEnvelope, volume: Volume): LeafFiles {
  const { resultRef = "", doneMarkerRef = "", gateRef = "" } = files ?? {};
  const marker = doneMarkerRef || markerPath(create(LeafFilesSchema, { resultRef }));
  const inside = (path: string): string => (path !== "" && pathProblem(volume, path) === undefined ? path : "");
  const written = { resultRef: inside(resultRef), doneMarkerRef: inside(marker), gateRef: inside(gateRef) };
  return create(LeafFilesSchema, { ...written, shownSessionId: sessionId });
}

/** Why an envelope's files can't be used; empty: they can. */
export function filesProblem({ resultRef, doneMarkerRef, gateRef }: RunFiles, volume: Volume): string {
  const named = Object.entries({ resultRef, doneMarkerRef, gateRef }).filter(([name, path]) => path !== "" || name === "resultRef");
  const problems = named.map(([name, path]) => [name, pathProblem(volume, path)] as const);
  return problems.flatMap(([name, problem]) => (problem === undefined ? [] : [`${name}: ${problem}`])).join("; ");
}

/** The item that an envelope's file holds, or why there is none. */
export async function readInputs({ inputsRef }: RunFiles, volume: Volume): Promise<ReviewItem | string> {
  try {
    const content = await volume.read(inputsRef, MAX_BYTES);
    return content === undefined ? `inputsRef: ${inputsRef} does not exist` : readItem(parseObject(content, '{"item_id": "..."}'));
  } catch (error) {
    if (error instanceof HarnessError) return `inputsRef: ${error.message}`;
    throw error;
  }
}

/** The decision that an envelope's file holds. One that is missing or can't be read is none. */
export async function readDecisionFile({ decisionRef }: RunFiles, volume: Volume): Promise<NumberedDecision | undefined> {
  if (decisionRef === "") return undefined;
  try {
    const content = await volume.read(decisionRef, MAX_BYTES);
    return content === undefined ? undefined : decisionIn(parseObject(content, '{"gateId": 0, "action": "approve"}'));
  } catch (error) {
    if (error instanceof HarnessError) return undefined;
    throw error;
  }
}
