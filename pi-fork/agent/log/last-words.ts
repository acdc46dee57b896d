import type { AgentLane } from "@earendil-works/pi-agent-core";
import { textOf } from "../../tools/tool.ts";
import { isGoOnNote } from "../unfinished.ts";
import { answerOf, isCut, isTruncated, newestMessages, promptTextOf } from "./history.ts";

/**
 * The text of the newest answer between two entries of a lane. If it goes on from answers that were cut at the output limit, theirs come
 * first, so that what was said in pieces is one text.
 */
export async function lastWords(lane: AgentLane, range: { readonly start: string; readonly stopAtId: string | null }): Promise<string> {
  const texts: string[] = [];
  let goesOn = true;
  for await (const entry of newestMessages(lane, range)) {
    const answer = answerOf(entry);
    if (answer === undefined) {
      // Whatever else stands in front of an answer, it does not go on from another one.
      if (texts.length > 0) goesOn = isGoOnNote(promptTextOf(entry));
    } else if (texts.length === 0) texts.unshift(textOf(answer.content));
    else if (!isCut(answer)) {
      goesOn = isTruncated(answer) && answer.content.every((part) => part.type !== "toolCall");
      if (goesOn) texts.unshift(textOf(answer.content));
    }
    if (!goesOn) break;
  }
  return texts.join("");
}
