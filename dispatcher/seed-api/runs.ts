import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Leaf, LeafFiles } from "@serverless-harness/proto/leaf";
import { isTerminal, type LeafStore } from "@serverless-harness/session";
import { tenantFor } from "../callers/caller.ts";
import { parseObject, readBody } from "../http/body.ts";
import type { Reply } from "../http/reply.ts";
import type { KnownHandler } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";
import { openQuestions } from "../questions.ts";
import { filesOf } from "../volume/contents.ts";
import type { Volume } from "../volume/volume.ts";
import { answerOf, runWords } from "./answer.ts";
import { answerQuestion } from "./decisions.ts";
import { envelopeInvalid, type RunEnvelope, readEnvelope } from "./envelope.ts";
import { untilRest } from "./follow.ts";
import { accepted, fileReply, runReply, saturated } from "./reply.ts";
import { filesInside, filesProblem, readDecisionFile, readInputs, requireVolume } from "./run-files.ts";
import { runId, sessionName } from "./session-name.ts";
import { type NewRun, SessionRuns } from "./session-runs.ts";
import type { SeedApiSettings } from "./settings.ts";
import { runSpec, unusable, unusableSpec } from "./spec.ts";

/** Largest body: a problem of 1 MiB, escaped as JSON. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const EXAMPLE = '{"sessionId": "...", "item": {"item_id": "...", "file": "...", "pattern": "..."}}';

/** What the fields of a leaf are called in an envelope. */
const FIELD_NAMES: Readonly<Record<string, string>> = {
  "spec.repository.url": "repoUrl",
  "spec.repository.ref": "ref",
  "spec.model": "model",
  "spec.prompt": "problemStatement",
  "spec.files": "resultRef",
};

/** What runs stand on. */
export interface RunsOptions {
  readonly leaves: Leaves;
  readonly store: LeafStore;
  readonly volume: Volume | undefined;
  readonly settings: SeedApiSettings;
}

/**
 * `POST /runs`: a leaf on the session that the envelope names, or what that session has brought already. Answers when the run rests (it is over, or waits
 * for a human), or at once with `async: true`. The client going away stops the waiting, not the run.
 */
export function runs({ leaves, store, volume, settings }: RunsOptions): KnownHandler {
  const sessions = new SessionRuns(leaves, store);
  return async ({ request, gone, caller }) => {
    const envelope = readEnvelope(bodyOf(await readBody(request, MAX_BODY_BYTES)));
    requireId(envelope, settings);
    const filesOn = requireVolume(envelope, volume?.of(tenantFor(caller, "tenant", "")));
    const files = filesOn && filesInside(envelope, filesOn);
    const name = sessionName(runId(envelope));
    const begun = await inItsOwnWords(sessions.begin(caller, name, () => newRun(envelope, name, settings, filesOn, files)));
    const decision = envelope.decision ?? (filesOn && envelope.files && (await readDecisionFile(envelope.files, filesOn)));
    const leaf = await answerQuestion(leaves, caller, store, begun, decision);
    if (envelope.async) {
      if (filesOn && files) await writeFiles(store, leaf, filesOn, files);
      return acceptedReply(envelope);
    }
    const rested = await untilRest(leaves, caller, leaf, settings.saturationMs, gone);
    if (rested.kind === "saturated") return saturated(settings);
    if (filesOn && files) await writeFiles(store, rested.leaf, filesOn, files);
    const answer = await currentAnswer(store, rested.leaf);
    return envelope.files !== undefined && envelope.work.kind === "file"
      ? fileReply(answer, envelope.files, settings)
      : runReply(answer, settings);
  };
}

/** Where a leaf stands, with the question that it waits for. */
export async function currentAnswer(store: Pick<LeafStore, "events">, leaf: Leaf): Promise<ReturnType<typeof answerOf>> {
  return answerOf(leaf, await openQuestions(store, leaf));
}

async function newRun(
  envelope: RunEnvelope,
  name: string,
  settings: SeedApiSettings,
  volume: Volume | undefined,
  files: LeafFiles | undefined,
): Promise<NewRun> {
  const written = files === undefined ? {} : { files };
  const { work } = envelope;
  const failed = (why: string): NewRun => ({ spec: { ...unusableSpec(name), ...written }, unusable: why });
  const why = unusable(envelope) || (volume === undefined || envelope.files === undefined ? "" : filesProblem(envelope.files, volume));
  if (why !== "") return failed(why);
  if (work.kind !== "file" || volume === undefined || envelope.files === undefined)
    return { spec: { ...runSpec(envelope, name, settings), ...written }, unusable: "" };
  const item = await readInputs(envelope.files, volume);
  if (typeof item === "string") return failed(item);
  return { spec: { ...runSpec({ ...envelope, work: { kind: "review", item } }, name, settings), ...written }, unusable: "" };
}

/** An envelope may name other files than the one that began the run: what is to be seen already is written there as well. */
async function writeFiles(store: LeafStore, leaf: Leaf, volume: Volume, files: LeafFiles): Promise<void> {
  const asked = isTerminal(leaf.state) ? [] : await openQuestions(store, leaf);
  for (const { path, content } of filesOf(leaf, files, asked, runWords(leaf))) await volume.write(path, content);
}

function acceptedReply({ sessionId, work, files }: RunEnvelope): Reply {
  if (work.kind !== "file" || files === undefined) return accepted({ sessionId });
  const { resultRef, doneMarkerRef } = files;
  return accepted({ sessionId, resultRef, doneMarker: doneMarkerRef || `${resultRef}.status` });
}

/** Whatever is no envelope is told in the same word. */
function bodyOf(body: Buffer): Record<string, unknown> {
  try {
    return parseObject(body, EXAMPLE);
  } catch (error) {
    throw new HarnessError(Code.InvalidArgument, "envelope_invalid", error instanceof Error ? error.message : "", { cause: error });
  }
}

/** An empty id is one session for all who send none: only the seed's own clients may mean that. */
function requireId({ sessionId }: RunEnvelope, { compat }: SeedApiSettings): void {
  if (sessionId === "" && !compat) throw envelopeInvalid([{ field: "sessionId", description: "must not be empty: it names the session" }]);
}

/** What a leaf is refused for, by the envelope's own fields. */
async function inItsOwnWords<T>(submitted: Promise<T>): Promise<T> {
  try {
    return await submitted;
  } catch (error) {
    if (!(error instanceof HarnessError) || error.code !== Code.InvalidArgument) throw error;
    throw envelopeInvalid(error.violations.map(({ field, description }) => ({ field: FIELD_NAMES[field] ?? field, description })));
  }
}
