import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import { isDeeper } from "@serverless-harness/kit/json-limits";
import type { AgentEvent, AgentUsage } from "@serverless-harness/pi-fork";
import {
  AnswerDiscardedSchema,
  AnswerSchema,
  CompactedSchema,
  ModelCallStartedSchema,
  PlacedSchema,
  SnapshotTakenSchema,
  TextDeltaSchema,
  ToolEndedSchema,
  ToolOutputSchema,
  ToolStartedSchema,
  type Usage,
  UsageSchema,
  WorkspaceRestoredSchema,
} from "@serverless-harness/proto/leaf";
import type { NewEvent, Placement } from "@serverless-harness/session";

const MAX_ARGUMENT_BYTES = 4 * 1024;
const MAX_OUTPUT_BYTES = 4 * 1024;
const MAX_RESULT_BYTES = 16 * 1024;

/** The leaf's session is in this place of the pool. */
export interface PlacedEvent {
  readonly kind: "placed";
  readonly placement: Placement;
}

/**
 * An agent's event as the leaf's log holds it. What the session's log holds as well gets a key, so that it can be announced again after a
 * crash without being doubled.
 */
export function toLeafEvent(event: AgentEvent | PlacedEvent): NewEvent {
  switch (event.kind) {
    case "placed":
      return placedEvent(event.placement);
    case "model_call": {
      const { model, attempt } = event;
      return { event: { case: "modelCallStarted", value: create(ModelCallStartedSchema, { model, attempt }) } };
    }
    case "text": {
      const { text, thinking } = event;
      return { event: { case: "textDelta", value: create(TextDeltaSchema, { text, thinking }) } };
    }
    case "answer_discarded": {
      const value = create(AnswerDiscardedSchema, { reason: head(event.reason, MAX_ARGUMENT_BYTES) });
      return { event: { case: "answerDiscarded", value }, key: `discarded:${event.entryId}` };
    }
    case "answer": {
      const { entryId, text, toolCalls } = event;
      return { event: { case: "answer", value: create(AnswerSchema, { entryId, text, toolCalls }) }, key: `answer:${entryId}` };
    }
    case "compacted": {
      const { entryId, tokensBefore, reason } = event;
      const value = create(CompactedSchema, { entryId, tokensBefore: BigInt(tokensBefore), reason });
      return { event: { case: "compacted", value }, key: `compacted:${entryId}` };
    }
    case "tool_started": {
      const { invocationId, tool, args, resumed } = event;
      const value = create(ToolStartedSchema, { invocationId, tool, arguments: toArguments(args), resumed });
      // That it goes on in another brain is news each time.
      return { event: { case: "toolStarted", value }, ...(resumed ? {} : { key: `tool_start:${invocationId}` }) };
    }
    case "tool_output": {
      const value = create(ToolOutputSchema, { invocationId: event.invocationId, text: tail(event.text, MAX_OUTPUT_BYTES) });
      return { event: { case: "toolOutput", value } };
    }
    case "tool_ended": {
      const { invocationId, tool, isError } = event;
      const value = create(ToolEndedSchema, { invocationId, tool, text: tail(event.text, MAX_RESULT_BYTES), isError });
      return { event: { case: "toolEnded", value }, key: `tool_end:${invocationId}` };
    }
    case "snapshot_taken": {
      const { snapshotId } = event;
      return { event: { case: "snapshotTaken", value: create(SnapshotTakenSchema, { snapshotId }) }, key: `snapshot:${snapshotId}` };
    }
    case "workspace_restored": {
      const { snapshotId, behind, made } = event;
      return {
        event: { case: "workspaceRestored", value: create(WorkspaceRestoredSchema, { snapshotId, behind }) },
        key: `restored:${made}`,
      };
    }
    case "usage":
      return { event: { case: "usage", value: toUsage(event.usage) } };
  }
}

/** The same again is told once. */
function placedEvent({ sandbox: { name }, moved, left }: Placement): NewEvent {
  const before = moved ?? left;
  const from = before?.name === name ? undefined : before;
  const value = create(PlacedSchema, { sandbox: name, ...(from && { movedFrom: from.name, movedFromIsThere: from.isThere }) });
  return { event: { case: "placed", value }, key: `placed:${name}:${from?.name ?? ""}` };
}

function toUsage(usage: AgentUsage): Usage {
  return create(UsageSchema, {
    modelCalls: usage.modelCalls,
    inputTokens: BigInt(usage.inputTokens),
    outputTokens: BigInt(usage.outputTokens),
    cacheReadTokens: BigInt(usage.cacheReadTokens),
    cacheWriteTokens: BigInt(usage.cacheWriteTokens),
    costMicroUsd: BigInt(usage.costMicroUsd),
  });
}

function toArguments(args: unknown): JsonObject {
  const cut = withShortTexts(args);
  return typeof cut === "object" && cut !== null && !Array.isArray(cut) ? cut : {};
}

/** A copy as plain JSON, in which no text is long, or a note if it is too deep to be read again. */
function withShortTexts(value: unknown): JsonValue {
  if (isDeeper(value)) return { note: "too deep to be shown" };
  const text = JSON.stringify(value, (_key, part: unknown) => (typeof part === "string" ? head(part, MAX_ARGUMENT_BYTES) : part));
  return text === undefined ? null : (JSON.parse(text) as JsonValue);
}

/** The first bytes of a text, whole characters. */
function head(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  return new TextDecoder().decode(bytes.subarray(0, maxBytes), { stream: true });
}

/** The last bytes of a text, whole characters. */
function tail(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  let start = bytes.length - maxBytes;
  while (((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
  return bytes.toString("utf8", start);
}
