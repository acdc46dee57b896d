import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Leaf } from "@serverless-harness/proto/leaf";
import type { LeafStore } from "@serverless-harness/session";
import { parseObject, readBody } from "../http/body.ts";
import type { KnownHandler } from "../http/router.ts";
import type { Leaves } from "../leaves.ts";
import { answerOf } from "./answer.ts";
import { answerQuestion } from "./decisions.ts";
import { envelopeInvalid, type RunEnvelope, readEnvelope } from "./envelope.ts";
import { untilRest } from "./follow.ts";
import { openQuestions } from "./questions.ts";
import { accepted, runReply, saturated } from "./reply.ts";
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
};

/**
 * `POST /runs`: a leaf on the session that the envelope names, or what that session has brought already. Answers when the run rests (it is over, or waits
 * for a human), or at once with `async: true`. The client going away stops the waiting, not the run.
 */
export function runs(leaves: Leaves, store: LeafStore, settings: SeedApiSettings): KnownHandler {
  const sessions = new SessionRuns(leaves, store);
  return async ({ request, gone, caller }) => {
    const envelope = readEnvelope(bodyOf(await readBody(request, MAX_BODY_BYTES)));
    requireId(envelope, settings);
    const name = sessionName(runId(envelope));
    const begun = await inItsOwnWords(sessions.begin(caller, name, () => newRun(envelope, name, settings)));
    const leaf = await answerQuestion(leaves, caller, store, begun, envelope.decision);
    if (envelope.async) return accepted({ sessionId: envelope.sessionId });
    const rested = await untilRest(leaves, caller, leaf, settings.saturationMs, gone);
    return rested.kind === "saturated" ? saturated(settings) : runReply(await currentAnswer(store, rested.leaf), settings);
  };
}

/** Where a leaf stands, with the question that it waits for. */
export async function currentAnswer(store: Pick<LeafStore, "events">, leaf: Leaf): Promise<ReturnType<typeof answerOf>> {
  return answerOf(leaf, await openQuestions(store, leaf));
}

function newRun(envelope: RunEnvelope, name: string, settings: SeedApiSettings): NewRun {
  const why = unusable(envelope);
  return why === "" ? { spec: runSpec(envelope, name, settings), unusable: "" } : { spec: unusableSpec(name), unusable: why };
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
