import { type CompactionPreparation, estimateTokens } from "@earendil-works/pi-agent-core";

const CHARS_PER_TOKEN = 4;
/** Tool results are never cut to less, in characters. */
const LEAST_CHARS = 400;

type Messages = CompactionPreparation["retainedTail"];
type Compaction = { readonly summary: string; readonly retainedTail: Messages; readonly tokensBefore: number };

/**
 * What to do with a conversation that does not fit and of which nothing can be summed up, since its newest messages alone fill the window: the
 * output of tools in them is cut. `undefined` where there is nothing to cut.
 */
export function shortened(preparation: CompactionPreparation): Compaction | undefined {
  const { messagesToSummarize, turnPrefixMessages, retainedTail, previousSummary, tokensBefore, settings } = preparation;
  const all = [...messagesToSummarize, ...turnPrefixMessages, ...retainedTail];
  const results = all.filter((message) => message.role === "toolResult").length;
  const limit = Math.max(LEAST_CHARS, Math.floor((settings.keepRecentTokens * CHARS_PER_TOKEN) / Math.max(1, results)));
  const cut = all.map((message) => withShortResult(message, limit));
  if (tokensIn(cut) >= tokensIn(all)) return undefined;
  return { summary: previousSummary ?? "Nothing came before; long output of tools was cut.", retainedTail: cut, tokensBefore };
}

function withShortResult(message: Messages[number], limit: number): Messages[number] {
  if (message.role !== "toolResult") return message;
  const content = message.content.map((part) => {
    if (part.type === "image") return { type: "text" as const, text: "[A picture, left out to fit into the model's window]" };
    if (part.text.length <= limit) return part;
    return {
      ...part,
      text: `${part.text.slice(0, limit)}\n\n[${part.text.length - limit} more characters, cut to fit into the model's window]`,
    };
  });
  return { ...message, content };
}

function tokensIn(messages: Messages): number {
  return messages.reduce((sum, message) => sum + estimateTokens(message), 0);
}
