import { create } from "@bufbuild/protobuf";
import { checkSandboxLabels } from "@serverless-harness/kit/sandbox-labels";
import { entryOf, Validation } from "@serverless-harness/kit/validate";
import { LeafKind, type LeafSpec, LeafSpecSchema, type Limits, type RetryPolicy, type SandboxWish } from "@serverless-harness/proto/leaf";
import { checkFork } from "./fork.ts";
import { checkGatePolicy } from "./gate-policy.ts";
import { checkImages } from "./images.ts";
import { checkFiles } from "./volume/leaf-files.ts";
import type { Volume } from "./volume/volume.ts";
import { checkWork } from "./work.ts";

/** Longest prompt, in bytes of UTF-8. */
export const MAX_PROMPT_BYTES = 1024 * 1024;
const MAX_SYSTEM_PROMPT_BYTES = 64 * 1024;
const MAX_LABELS = 32;
const MAX_LABEL_VALUE = 256;
const MAX_IDEMPOTENCY_KEY = 256;
const LABEL_KEY = /^[A-Za-z0-9._\-/]{1,63}$/;
const MODEL = /^[^\s/]+\/\S+$/;

/** A leaf as a client asked for it. */
export interface Envelope {
  readonly spec: LeafSpec;
  readonly idempotencyKey: string;
}

/**
 * Check a leaf against the rules of `leaf.proto`. Returns the spec with tenant and kind filled in; INVALID_ARGUMENT lists every
 * wrong field. `tenantFor` tells whose leaf it is by the tenant that it names, or empty; `volume`: where its files may be.
 */
export async function validateEnvelope(
  spec: LeafSpec | undefined,
  idempotencyKey: string,
  tenantFor: (requested: string) => string,
  volume?: Volume,
): Promise<Envelope> {
  const v = new Validation();
  v.check("idempotency_key", characters(idempotencyKey) <= MAX_IDEMPOTENCY_KEY, `must be at most ${MAX_IDEMPOTENCY_KEY} characters`);
  v.line("idempotency_key", idempotencyKey);
  if (spec === undefined) v.fail("spec", "must be set: it says what the leaf shall do");
  else await checkSpec(v, spec, () => volume?.of(tenantFor(spec.tenant)));
  v.done();
  const valid = spec ?? create(LeafSpecSchema);
  return { spec: { ...valid, tenant: tenantFor(valid.tenant), kind: valid.kind || LeafKind.TURN }, idempotencyKey };
}

/** Check the labels of a leaf or of a filter. */
export function checkLabels(v: Validation, field: string, labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  v.check(field, entries.length <= MAX_LABELS, `must be at most ${MAX_LABELS} labels`);
  for (const [key, value] of entries) {
    const path = entryOf(field, key);
    v.check(path, LABEL_KEY.test(key), "the key must be 1 to 63 characters of A-Z a-z 0-9 . _ - /");
    v.check(path, characters(value) <= MAX_LABEL_VALUE, `the value must be at most ${MAX_LABEL_VALUE} characters`);
    v.line(path, value);
  }
}

async function checkSpec(v: Validation, spec: LeafSpec, volume: () => Volume | undefined): Promise<void> {
  if (spec.tenant !== "") v.name("spec.tenant", spec.tenant);
  if (spec.sessionId !== "") v.name("spec.session_id", spec.sessionId);
  v.check("spec.session_must_exist", !(spec.sessionMustExist && spec.sessionId === ""), "needs spec.session_id");
  v.check("spec.unusable", spec.unusable === "", "must be empty: the dispatcher sets it");
  v.check("spec.trace_parent", spec.traceParent === "", "must be empty: send it as the header traceparent");
  checkFork(v, spec);
  checkFiles(v, spec, volume);
  await checkWork(v, spec);
  v.check("spec.prompt", spec.prompt.trim() !== "", "must be text that is not blank");
  v.maxBytes("spec.prompt", spec.prompt, MAX_PROMPT_BYTES);
  text(v, "spec.prompt", spec.prompt);
  checkImages(v, "spec.images", spec.images);
  v.check("spec.model", spec.model === "" || MODEL.test(spec.model), "must look like provider/model, or be empty for the default");
  v.line("spec.model", spec.model);
  v.maxBytes("spec.system_prompt", spec.systemPrompt, MAX_SYSTEM_PROMPT_BYTES);
  text(v, "spec.system_prompt", spec.systemPrompt);
  checkLabels(v, "spec.labels", spec.labels);
  if (spec.limits !== undefined) checkLimits(v, spec.limits);
  v.range("spec.priority", spec.priority, -100, 100);
  if (spec.retry !== undefined) checkRetry(v, spec.retry);
  if (spec.sandbox !== undefined) checkSandboxWish(v, spec.sandbox);
  if (spec.gates !== undefined) await checkGatePolicy(v, "spec.gates", spec.gates, spec.kind);
}

function checkLimits(v: Validation, limits: Limits): void {
  v.check("spec.limits.max_model_calls", limits.maxModelCalls >= 0, "must be 0 (the default) or more");
  v.check("spec.limits.max_tool_turns", limits.maxToolTurns >= 0, "must be 0 (the default) or more");
  milliseconds(v, "spec.limits.deadline_ms", limits.deadlineMs);
  v.range("spec.limits.max_tokens", limits.maxTokens, 0, Number.MAX_SAFE_INTEGER);
  v.range("spec.limits.max_cost_micro_usd", limits.maxCostMicroUsd, 0, Number.MAX_SAFE_INTEGER);
}

function checkRetry(v: Validation, retry: RetryPolicy): void {
  v.range("spec.retry.max_attempts", retry.maxAttempts, 0, 20);
  milliseconds(v, "spec.retry.base_delay_ms", retry.baseDelayMs);
  milliseconds(v, "spec.retry.max_delay_ms", retry.maxDelayMs);
}

/** An empty id: it is near nobody. */
function checkSandboxWish(v: Validation, { labels, nearSessionId }: SandboxWish): void {
  checkSandboxLabels(v, "spec.sandbox.labels", labels);
  if (nearSessionId !== "") v.name("spec.sandbox.near_session_id", nearSessionId);
}

/** A duration whose sum with a time is still a whole number in every language that reads it. */
function milliseconds(v: Validation, field: string, value: bigint): void {
  v.range(field, value, 0, 2 ** 48);
}

/** Half of a surrogate pair can't be stored as UTF-8: it would come back as something else. */
function text(v: Validation, field: string, value: string): void {
  v.check(field, value.isWellFormed(), "must be valid Unicode");
}

function characters(value: string): number {
  return Array.from(value).length;
}
