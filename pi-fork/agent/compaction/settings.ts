import {
  type CompactionPreparation,
  type CompactionSettings,
  DEFAULT_COMPACTION_SETTINGS,
  estimateTokens,
} from "@earendil-works/pi-agent-core";

/** Of a small window, so much is left free for the answer, and as much of the newest conversation is kept as it is. */
const SHARE = 1 / 4;
/** What is summed up has to be this large a share of what is kept, or summing up costs more than it brings. */
const LEAST_GAIN = 1 / 4;

/**
 * When a conversation is summed up, and how much of it: Pi's own numbers, which take a large window for granted, scaled down where the model's
 * has fewer than some 80,000 tokens. With Pi's, a model of 16,000 would sum up in front of each request and keep more than fits.
 */
export function compactionSettings(contextWindow: number): CompactionSettings {
  const { reserveTokens, keepRecentTokens } = DEFAULT_COMPACTION_SETTINGS;
  const share = Math.max(1, Math.floor(contextWindow * SHARE));
  return { enabled: true, reserveTokens: Math.min(reserveTokens, share), keepRecentTokens: Math.min(keepRecentTokens, share) };
}

/**
 * Summing up would make the conversation so much shorter that it is worth a request. Where it is not, instructions and newest messages fill the
 * window, and each request would be followed by another summary for ever.
 */
export function isWorthwhile({ messagesToSummarize, turnPrefixMessages, settings }: CompactionPreparation): boolean {
  const tokens = [...messagesToSummarize, ...turnPrefixMessages].reduce((sum, message) => sum + estimateTokens(message), 0);
  return tokens > 0 && tokens >= settings.keepRecentTokens * LEAST_GAIN;
}

/** There is anything to sum up. Pi would ask for a summary of nothing. */
export function isPossible({ messagesToSummarize, turnPrefixMessages }: CompactionPreparation): boolean {
  return messagesToSummarize.length + turnPrefixMessages.length > 0;
}
