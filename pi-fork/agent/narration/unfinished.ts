import type { AgentLane, Entry } from "@earendil-works/pi-agent-core";
import type { AssistantMessage } from "@earendil-works/pi-ai";
import { FailureReason } from "@serverless-harness/proto/leaf";
import { textOf } from "../../tools/tool.ts";
import type { AgentFailure } from "../log/failure.ts";
import { answerOf, isCut, isTruncated, newestMessages, promptTextOf } from "../log/history.ts";

/** Answers in a row that are cut at the output limit before the operation fails. */
const MAX_TRUNCATED = 4;

const NOTE = "Note of the harness, not of the user:";
const GO_ON = `${NOTE} your answer was cut, since it reached the limit on output tokens. Go on exactly where it stops, and repeat nothing.`;
const SPEAK = `${NOTE} you reached the limit on output tokens before you said anything. Think less, and answer now.`;
const ASK_AGAIN = `${NOTE} your answer was empty. Give your answer to the user now.`;

/** Stands for the answer of a model that gives none. */
export const NO_ANSWER = "(The model ended without an answer, also when it was asked once more.)";

/** A message by which an answer that was cut is gone on with. */
export function isGoOnNote(text: string | undefined): boolean {
  return text === GO_ON || text === SPEAK;
}

/** Whether an operation's newest answer is its last word, as far as its log has come: it may be cut at the output limit, or be empty. */
export class UnfinishedAnswers {
  readonly #owesResult: boolean;
  #truncated = 0;
  #tokens = 0;
  #followUp: string | undefined;
  #asked = false;

  /** `owesResult`: the operation's last words are not its result, so that they may be none. */
  constructor(owesResult: boolean) {
    this.#owesResult = owesResult;
  }

  /** Take note of the operation's next entry. */
  note(entry: Entry): void {
    if (promptTextOf(entry) === ASK_AGAIN) this.#asked = true;
    const answer = answerOf(entry);
    if (answer === undefined || isCut(answer)) return;
    const text = textOf(answer.content).trim();
    this.#tokens = answer.usage.output;
    this.#truncated = isTruncated(answer) ? this.#truncated + 1 : 0;
    if (this.#truncated > 0) this.#followUp = text === "" ? SPEAK : GO_ON;
    else this.#followUp = text === "" && !this.#owesResult && !this.#asked ? ASK_AGAIN : undefined;
  }

  /** What to tell an agent that is about to end with the newest answer, if that is not its last word. */
  followUp(): string | undefined {
    return this.#followUp;
  }

  /** The model does not come to an end within its output limit. */
  failure(): AgentFailure | undefined {
    if (this.#truncated < MAX_TRUNCATED) return undefined;
    const message = `the model reached its limit of output ${this.#truncated} times in a row, last at ${this.#tokens} tokens: ask for less at once, or choose a model with a higher limit`;
    return { reason: FailureReason.OUTPUT_LIMIT, retryable: false, message };
  }
}

/** What an operation ended with. */
interface LastWords {
  /** The newest answer, whole or cut. */
  readonly answer?: AssistantMessage;
  readonly text: string;
}

/**
 * The newest answer between two entries of a lane, and its text. If it goes on from answers that were cut at the output limit, theirs come
 * first, so that what was said in pieces is one text.
 */
export async function lastWords(lane: AgentLane, range: { readonly start: string; readonly stopAtId: string | null }): Promise<LastWords> {
  let newest: AssistantMessage | undefined;
  const texts: string[] = [];
  let goesOn = true;
  for await (const entry of newestMessages(lane, range)) {
    const answer = answerOf(entry);
    if (newest === undefined) {
      newest = answer;
      if (answer !== undefined) texts.push(textOf(answer.content));
    } else if (answer === undefined) {
      // Whatever else stands before an answer, it does not go on from another one.
      goesOn = isGoOnNote(promptTextOf(entry));
    } else if (!isCut(answer)) {
      goesOn = isTruncated(answer) && answer.content.every((part) => part.type !== "toolCall");
      if (goesOn) texts.unshift(textOf(answer.content));
    }
    if (!goesOn) break;
  }
  return newest === undefined ? { text: "" } : { answer: newest, text: texts.join("") };
}
