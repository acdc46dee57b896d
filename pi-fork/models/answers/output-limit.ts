import type { Api, AssistantMessage, Model, Provider, SimpleStreamOptions } from "@earendil-works/pi-ai";
import { changedAtEnd } from "./whole-answer.ts";

/** An answer that ends this near to the window was cut by the window, and not by the model's limit of output. */
const WINDOW_SHARE = 0.9;
/** pi-ai keeps so many tokens of the window free, and its estimate of a request is off by some more. */
const WINDOW_MARGIN_TOKENS = 5000;

/**
 * The provider, with an answer that was cut by the model's window told from one that was cut by its limit of output. Pi takes every cut answer below the
 * model's limit for one that did not fit, sums the conversation up, and fails. So it is told no limit, and the first kind is made the
 * error that it is. The limit still goes with each request.
 */
export function withOutputLimit(provider: Provider): Provider {
  const limitOf = (model: Model<Api>): number => provider.getModels().find(({ id }) => id === model.id)?.maxTokens ?? model.maxTokens;
  return {
    ...provider,
    getModels: () => provider.getModels().map((model) => ({ ...model, maxTokens: 0 })),
    streamSimple(model, context, options) {
      const maxTokens = limitOf(model);
      const answers = provider.streamSimple({ ...model, maxTokens }, context, withinLimit(options, maxTokens));
      return changedAtEnd(answers, (answer) => (isCutByWindow(answer, model.contextWindow, maxTokens) ? overflow(answer) : answer));
    },
  };
}

/** What Pi asks for without knowing the limit. */
function withinLimit(options: SimpleStreamOptions | undefined, maxTokens: number): SimpleStreamOptions | undefined {
  if (options?.maxTokens === undefined || maxTokens <= 0) return options;
  return { ...options, maxTokens: Math.min(options.maxTokens, maxTokens) };
}

function isCutByWindow({ stopReason, usage }: AssistantMessage, window: number, maxTokens: number): boolean {
  if (stopReason !== "length" || window <= 0 || (maxTokens > 0 && usage.output >= maxTokens)) return false;
  const total = usage.input + usage.cacheRead + usage.cacheWrite + usage.output;
  return total >= Math.min(window * WINDOW_SHARE, window - WINDOW_MARGIN_TOKENS);
}

/** Pi knows what did not fit by words of its providers. */
function overflow(answer: AssistantMessage): AssistantMessage {
  return { ...answer, stopReason: "error", errorMessage: "the answer was cut: it exceeds the context window" };
}
