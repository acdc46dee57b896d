import { type AgentHarnessTool, DEFAULT_MAX_BYTES, formatSize, truncateHead } from "@earendil-works/pi-agent-core";
import type { TSchema } from "typebox";
import { withInvocation } from "../env/context.ts";
import type { HandsExecutionEnv } from "../env/hands-env.ts";

/** What a tool gets from the harness. */
export interface ToolContext {
  readonly env: HandsExecutionEnv;
}

/** One tool call that begins to act. */
export interface ToolCall {
  readonly invocationId: string;
  readonly turnId: string;
  readonly toolCallId: string;
  readonly tool: string;
  readonly args: unknown;
}

/** Told what tools do, as it happens. Must not throw. */
export interface ToolObserver {
  started(call: ToolCall): void;
  /** `text` is all that the tool shows now. */
  output(invocationId: string, text: string): void;
}

/**
 * A tool that may be called again under the same invocation id: whatever it does in the sandbox happens once per id. So a tool
 * call outlives the brain that made it.
 */
export function replayable<TParameters extends TSchema, TDetails>(
  tool: AgentHarnessTool<ToolContext, TParameters, TDetails>,
  observer: ToolObserver,
): AgentHarnessTool<ToolContext, TParameters, TDetails> {
  return {
    ...tool,
    replay: "safe",
    execute(toolCallId, params, onUpdate, toolContext, invocation, context) {
      const { invocationId, turnId } = invocation;
      observer.started({ invocationId, turnId, toolCallId, tool: tool.name, args: params });
      const observed: typeof onUpdate = (partial, options) => {
        onUpdate(partial, options);
        observer.output(invocationId, textOf(partial.content));
      };
      return tool.execute(toolCallId, params, observed, toolContext, invocation, withInvocation(invocationId, context));
    },
  };
}

/** The text among the parts of a message or result. */
export function textOf(content: ReadonlyArray<{ readonly type: string; readonly text?: string }>): string {
  return content.flatMap((part) => (part.type === "text" && part.text !== undefined ? [part.text] : [])).join("\n");
}

/** A tool's answer in words only. */
export function textResult<TDetails>(text: string, details: TDetails) {
  return { content: [{ type: "text" as const, text }], details };
}

/**
 * Lines for the model, bounded as Pi's own tools bound theirs (50 KB, whole lines), with notes in brackets at the end that say
 * what is missing and how to get it.
 */
export function listing(lines: readonly string[], notes: readonly string[]): string {
  const { content, truncated } = truncateHead(lines.join("\n"), { maxLines: Number.MAX_SAFE_INTEGER });
  const all = truncated ? [...notes, `${formatSize(DEFAULT_MAX_BYTES)} limit reached, narrow the search to see the rest`] : notes;
  return all.length === 0 ? content : `${content}\n\n[${all.join(". ")}]`;
}

/** What a model is told after a change whose file had other names, which kept the old content; otherwise nothing. */
export function partedNote({ partedLinks }: { readonly partedLinks: number }): string {
  if (partedLinks === 0) return "";
  return `\n[The file had ${partedLinks} other name(s), as hard links: they keep the old content. To change all of them, write through one with bash]`;
}
