/**
 * What steers a terminal, or how a line is read: control characters but line ends and tabs, what turns the direction of writing, and the line
 * ends that only some programs know.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text of a caller, a model or a command as it may be shown: whatever steers is made visible, as ␛ or \\u009b. */
export function clean(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(STEERING, visible);
}

/** The same where a line is to stay one. */
export function cleanLine(text: string): string {
  return clean(text).replaceAll("\n", "␊");
}

/** JSON that means the same, and steers nothing. JSON itself escapes the first 32 characters only. */
export function cleanJson(text: string): string {
  return text.replace(STEERING, escaped);
}

function visible(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "␡" : escaped(character);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
