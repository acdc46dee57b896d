import { spanIdOf } from "@serverless-harness/kit/tracing/trace-parent";
import type { Span, Tracing } from "@serverless-harness/kit/tracing/tracing";
import type { AgentEvent } from "@serverless-harness/pi-fork";
import { type Leaf, LeafKindSchema } from "@serverless-harness/proto/leaf";

/** What models used before the request that is under way. */
interface Used {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/**
 * What a brain does for a leaf, as spans of the leaf's trace: the run, and in it each request to the model and each tool call, by the GenAI conventions
 * (https://opentelemetry.io/docs/specs/semconv/gen-ai/). No words of anybody are in them.
 */
export class LeafTrace {
  readonly #tracing: Tracing;
  readonly #run: Span;
  readonly #tools = new Map<string, Span>();
  #model: Span | undefined;
  #used: Used = { inputTokens: 0, outputTokens: 0 };

  constructor(tracing: Tracing, { leafId, spec, claims }: Leaf) {
    this.#tracing = tracing;
    const { traceParent = "", tenant = "", sessionId = "", kind = 0 } = spec ?? {};
    this.#run = tracing.begin("run leaf", {
      kind: "consumer",
      parent: traceParent,
      attributes: {
        "leaf.id": leafId,
        "leaf.tenant": tenant,
        "leaf.kind": LeafKindSchema.value[kind]?.localName ?? "",
        "leaf.claims": claims,
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.conversation.id": sessionId,
      },
    });
  }

  tell(event: AgentEvent): void {
    switch (event.kind) {
      case "model_call":
        this.#beginModel(event.model, event.attempt);
        break;
      case "answer_discarded":
        this.#endModel("answer_discarded");
        break;
      case "usage":
        this.#takeUsage(event.usage);
        break;
      case "tool_started":
        this.#beginTool(event.invocationId, event.tool);
        break;
      case "tool_ended":
        this.#tools.get(event.invocationId)?.end(event.isError ? "tool_error" : undefined);
        this.#tools.delete(event.invocationId);
    }
  }

  /** How the run ended, for good or for now. */
  end(how: string, failure?: string): void {
    this.#endModel();
    for (const span of this.#tools.values()) span.end();
    this.#run.set({ "leaf.end": how });
    this.#run.end(failure);
  }

  #beginModel(model: string, attempt: number): void {
    this.#endModel("no_answer");
    const [provider = "", ...name] = model.split("/");
    this.#model = this.#tracing.begin(`chat ${name.join("/")}`, {
      kind: "client",
      parent: this.#run.traceParent,
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name.join("/"),
        "leaf.model.attempt": attempt,
      },
    });
  }

  /** It is told of the whole operation, once an answer is there. */
  #takeUsage({ inputTokens, outputTokens }: Used): void {
    const { inputTokens: input, outputTokens: output } = this.#used;
    this.#model?.set({ "gen_ai.usage.input_tokens": inputTokens - input, "gen_ai.usage.output_tokens": outputTokens - output });
    this.#used = { inputTokens, outputTokens };
    this.#endModel();
  }

  #endModel(failure?: string): void {
    this.#model?.end(failure);
    this.#model = undefined;
  }

  /** Its id follows from the call's: the command has it in its environment, and so has the one that a brain after this one finds running. */
  #beginTool(invocationId: string, tool: string): void {
    const span = this.#tracing.begin(`execute_tool ${tool}`, {
      kind: "client",
      parent: this.#run.traceParent,
      spanId: spanIdOf(invocationId),
      attributes: { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool, "gen_ai.tool.call.id": invocationId },
    });
    this.#tools.set(invocationId, span);
  }
}
