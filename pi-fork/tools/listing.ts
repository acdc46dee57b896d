import { DEFAULT_MAX_BYTES, formatSize, truncateHead } from "@earendil-works/pi-agent-core";

/**
 * Lines for the model, bounded as Pi's own tools bound theirs (50 KB, whole lines), with notes in brackets at the end that say
 * what is missing and how to get it.
 */
export function listing(lines: readonly string[], notes: readonly string[]): string {
  const { content, truncated } = truncateHead(lines.join("\n"), { maxLines: Number.MAX_SAFE_INTEGER });
  const all = truncated ? [...notes, `${formatSize(DEFAULT_MAX_BYTES)} limit reached, narrow the search to see the rest`] : notes;
  return all.length === 0 ? content : `${content}\n\n[${all.join(". ")}]`;
}
