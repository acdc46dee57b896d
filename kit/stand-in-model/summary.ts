import { readScript, type Step } from "./script.ts";

/** The answer to a request for a summary. */
export interface Summary {
  readonly text: string;
  readonly step: Step;
  readonly window: number;
}

const REQUEST = /^<conversation>\n([\s\S]*)\n<\/conversation>\n/;
const EARLIER = /<previous-summary>\n([\s\S]*)\n<\/previous-summary>/;
const SCRIPT = /```script\s([\s\S]*?)```/g;
const UNSCRIPTED = '```script {"steps": [{"text": "-"}]}```';
/** What Pi writes before each thing that somebody said or did. */
const SPEAKER = /^\[(User|Assistant|Tool result)[\w ]*\]: /gm;

/**
 * The summary that Pi's prompt asks for; `undefined` for any other prompt. The summary carries the script that is in
 * force, with the number of its answered steps, so that the script goes on after it.
 */
export function summaryIn(prompt: string): Summary | undefined {
  const conversation = REQUEST.exec(prompt)?.[1];
  if (conversation === undefined) return undefined;
  const inside = [...conversation.matchAll(SCRIPT)].at(-1);
  const found = inside ?? [...(EARLIER.exec(prompt)?.[1] ?? "").matchAll(SCRIPT)].at(-1);
  const after = inside === undefined ? conversation : conversation.slice(inside.index + inside[0].length);
  const turns = answersIn(after);
  const script = readScript(found?.[0] ?? UNSCRIPTED);
  if (script === undefined) return undefined;
  const { summary: step, window } = script;
  if (found === undefined) return { text: unscripted(conversation), step, window };
  const source = JSON.parse(found[1] ?? "") as Record<string, unknown>;
  const carried = JSON.stringify({ ...source, done: script.done + turns }, null, 1);
  return { text: `Summed up, with ${turns} answers in it.\n\n\`\`\`script\n${carried}\n\`\`\``, step, window };
}

/** Thoughts, a text and calls are one answer. So is an answer directly after another: that one was cut, and asked for again. */
function answersIn(conversation: string): number {
  const speakers = [...conversation.matchAll(SPEAKER)].map(([, speaker]) => speaker);
  return speakers.filter((speaker, at) => speaker === "Assistant" && speakers[at - 1] !== "Assistant").length;
}

/** What the user said, so that the stand-in can be asked about it later. */
function unscripted(conversation: string): string {
  const said = conversation.match(/^\[User\]: .*$/gm) ?? [];
  return `Summed up.\n${said.join("\n")}`;
}
