import type { AgentLane } from "@earendil-works/pi-agent-core";
import type { AssistantMessage } from "@earendil-works/pi-ai";
import { textOf } from "../../tools/tool.ts";
import { isGoOnNote } from "../unfinished.ts";
import { answerOf, isCut, isTruncated, newestMessages, promptTextOf } from "./history.ts";

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
      // Whatever else stands in front of an answer, it does not go on from another one.
      goesOn = isGoOnNote(promptTextOf(entry));
    } else if (!isCut(answer)) {
      goesOn = isTruncated(answer) && answer.content.every((part) => part.type !== "toolCall");
      if (goesOn) texts.unshift(textOf(answer.content));
    }
    if (!goesOn) break;
  }
  return newest === undefined ? { text: "" } : { answer: newest, text: texts.join("") };
}
