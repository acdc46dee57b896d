import { type Message, quote, writtenText } from "./transcript.ts";

/** What the stand-in sees. */
export interface PersonaInput {
  readonly prompt: string;
  /** The messages before the prompt. */
  readonly earlier: readonly Message[];
  readonly toolNames: readonly string[];
  /** What its command printed; absent before it was called. */
  readonly result: { readonly text: string; readonly isError: boolean } | undefined;
}

/** What it says, and the command that it wants to run. */
export interface PersonaReply {
  readonly text: string;
  readonly command?: string;
}

const REMEMBER = /remember the secret word\s*(?::|is\b)\s*["'“]?([\p{L}\p{N}_-]+)/iu;
const PROMPT_CHARS = 200;

/** How the model behaves without a script: enough to try the system by hand, and plain about not being a model. */
export function persona({ prompt, earlier, toolNames, result }: PersonaInput): PersonaReply {
  const command = commandIn(prompt);
  if (command !== undefined) {
    if (result !== undefined) return { text: `${result.isError ? "The command failed:" : "The output:"}\n${quote(result.text)}` };
    if (toolNames.includes("bash")) return { text: "", command };
    return { text: "I was asked to run a command, but this request offers no tool named bash." };
  }
  if (REMEMBER.test(prompt)) return { text: "OK" };
  if (/secret word/i.test(prompt)) return { text: secretWord(earlier) };
  return { text: introduction(prompt) };
}

/** `Run: command`, or every line that starts with `$ `. */
function commandIn(prompt: string): string | undefined {
  const lines = [...prompt.matchAll(/^\$ (.+)$/gm)].map((match) => match[1] ?? "");
  return lines.length > 0 ? lines.join("\n") : /^\s*run: *(.+)$/im.exec(prompt)?.[1];
}

function secretWord(earlier: readonly Message[]): string {
  const told = earlier.toReversed().filter((message) => message.role === "user");
  const word = told.map((message) => REMEMBER.exec(writtenText(message))?.[1]).find((found) => found !== undefined);
  return word === undefined ? "I don't know: nobody told me a secret word in this conversation." : `The secret word is ${word}.`;
}

function introduction(prompt: string): string {
  const start = prompt.slice(0, PROMPT_CHARS);
  return [
    "I am the scripted stand-in model: a small program that answers by fixed rules, not a language model.",
    "For a real one set ANTHROPIC_API_KEY, or another provider's key and LEAF_MODEL=provider/model, and start again.",
    'Here you can write "Remember the secret word: X", ask for the secret word, or "Run: <command>".',
    `You wrote: ${start}${prompt.length > PROMPT_CHARS ? "..." : ""}`,
  ].join("\n");
}
