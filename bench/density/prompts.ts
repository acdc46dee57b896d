/** How long a leaf of the crowd waits for the model's first or next byte, in milliseconds: longer than any run. */
const LONG_MS = 1_800_000;
/** Between two pieces of a streamed answer, in milliseconds. */
const PIECE_MS = 500;

/** The model does not answer. */
export function waiting(name: string): string {
  return scripted(name, [{ text: "At last.", delay_ms: LONG_MS }]);
}

/** The model answers slowly, piece by piece, for longer than any run. */
export function streaming(name: string): string {
  const pieces = LONG_MS / PIECE_MS;
  return scripted(name, [{ text: "word ".repeat(pieces), chunk_chars: 5, chunk_delay_ms: PIECE_MS }]);
}

/** So many commands, one after the other, of which each tells the time in nanoseconds. */
export function clock(name: string, count: number): string {
  const tick = { tools: [{ name: "bash", input: { command: "date +%s%N" } }] };
  return scripted(name, [...Array<typeof tick>(count).fill(tick), { text: "Done." }]);
}

function scripted(name: string, steps: readonly object[]): string {
  return `${name}\n\`\`\`script\n${JSON.stringify({ steps })}\n\`\`\``;
}
