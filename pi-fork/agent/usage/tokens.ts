const CHARS_PER_TOKEN = 4;

/** A rough count of the tokens in a text. */
export function tokensIn(text: string): number {
  return Math.ceil(text.length / CHARS_PER_TOKEN);
}
