import { persona } from "./persona.ts";
import { recall } from "./recall.ts";
import {
  DEFAULT_CHUNK_CHARS,
  readScript,
  type Script,
  type ScriptCut,
  type ScriptFail,
  type ScriptTool,
  type ScriptUsage,
  type Step,
} from "./script.ts";
import { summaryIn } from "./summary.ts";
import { lastToolResult, newestPrompt, pictures, quote, readableText, type Transcript, writtenText } from "./transcript.ts";

/** What the model says, and how. */
export interface Answer {
  /** What answers, for `GET /requests`: `script 0`, `script over`, `summary` or `persona`. */
  readonly step: string;
  /** Largest request in tokens. */
  readonly window: number;
  readonly text: string;
  /** Empty: a block without words, which a real API never sends. Absent: none. */
  readonly thinking?: string;
  readonly tools: readonly ScriptTool[];
  readonly delayMs: number;
  readonly chunkChars: number;
  readonly chunkDelayMs: number;
  readonly stopReason: string;
  readonly usage: ScriptUsage;
  readonly fail?: ScriptFail;
  readonly cut?: ScriptCut;
  readonly hold?: number;
}

/** The answer to a transcript: it depends on nothing else. `toolNames`: the tools that the request offers. */
export async function answerTo(transcript: Transcript, toolNames: readonly string[]): Promise<Answer> {
  const newest = newestPrompt(transcript);
  const prompt = writtenText(transcript.messages[newest]);
  const summary = summaryIn(prompt);
  if (summary !== undefined) {
    // Placeholders in the script that it carries are replaced when the script goes on.
    return { ...(await fromStep("summary", summary.step, transcript, newest)), text: summary.text, window: summary.window };
  }
  const found = scriptInForce(transcript);
  if (found === undefined) {
    return { ...plain("persona", ""), ...fromPersona(transcript, newest, prompt, toolNames) };
  }
  const { at, script } = found;
  const { steps, done, window } = script;
  const index = done + transcript.messages.slice(at + 1).filter((message) => message.role === "assistant").length;
  const step = steps[index];
  if (step === undefined) return plain("script over", `The script is over: all of its ${steps.length} steps were answered.`);
  return { ...(await fromStep(`script ${index}`, step, transcript, at)), window };
}

/** The newest script, and the message that holds it, unless the user wrote more messages after it than it answers. */
function scriptInForce(transcript: Transcript): { at: number; script: Script } | undefined {
  let at = newestPrompt(transcript);
  for (let prompts = 1; at >= 0; prompts++) {
    const script = readScript(writtenText(transcript.messages[at]));
    if (script !== undefined) return script.prompts >= prompts ? { at, script } : undefined;
    at = newestPrompt(transcript, at);
  }
  return undefined;
}

function plain(step: string, text: string): Answer {
  return {
    step,
    text,
    tools: [],
    delayMs: 0,
    chunkChars: DEFAULT_CHUNK_CHARS,
    chunkDelayMs: 0,
    stopReason: "end_turn",
    usage: {},
    window: Number.POSITIVE_INFINITY,
  };
}

function fromPersona(transcript: Transcript, at: number, prompt: string, toolNames: readonly string[]): Partial<Answer> {
  const reply = persona({
    prompt,
    earlier: transcript.messages.slice(0, Math.max(at, 0)),
    toolNames,
    result: at === transcript.messages.length - 1 ? undefined : lastToolResult(transcript),
  });
  if (reply.command === undefined) return { text: reply.text };
  return { text: reply.text, tools: [{ name: "bash", input: { command: reply.command } }], stopReason: "tool_use" };
}

async function fromStep(name: string, step: Step, transcript: Transcript, at: number): Promise<Omit<Answer, "window">> {
  const wantsRecall = step.recall !== undefined && step.text?.includes("{{recall}}") === true;
  const recalled = wantsRecall ? await recall(`${name}: recall`, step.recall, recallable(transcript, at)) : undefined;
  const { tools, stopReason = tools.length > 0 ? "tool_use" : "end_turn" } = step;
  const values: Readonly<Record<string, () => string>> = {
    recall: () => recalled ?? "(nothing found)",
    last_tool_result: () => quote(lastToolResult(transcript)?.text ?? "(no tool result yet)"),
    images: () =>
      pictures(transcript)
        .map(({ mediaType, bytes }) => `${mediaType} ${bytes}`)
        .join(", ") || "(no images)",
  };
  // One pass, so that a tool's output is never taken for a placeholder.
  const text = (step.text ?? "").replace(/\{\{(recall|last_tool_result|images)\}\}/g, (_match, key: string) => values[key]?.() ?? "");
  return { ...step, step: name, text, stopReason };
}

/** What is searched, in this order: every message except the one with the script, the newest first, then the instructions. */
function recallable({ messages, system }: Transcript, at: number): string[] {
  return [...messages.toSpliced(at, 1).toReversed().map(readableText), system];
}
