import type { AssistantMessage, Models } from "@earendil-works/pi-ai";
import { isCut } from "../log/history.ts";

/** Knows how the requests for summaries end, which Pi tells nobody. */
export class Summaries {
  /** What an answer has to carry on, since Pi forgets it; see {@link carryOn}. */
  #earlier: string | undefined;
  #failed: AssistantMessage | undefined;

  /** The newest request for a summary, as far as it failed in this process and none has succeeded since. */
  get failed(): AssistantMessage | undefined {
    return this.#failed;
  }

  /**
   * Put an earlier summary after the next one. Pi 0.87.1 leaves it out if all that is summed up is the beginning of a turn which the earlier
   * compaction had kept whole: the conversation would lose its memory.
   */
  carryOn(earlier: string | undefined): void {
    this.#earlier = earlier;
  }

  /** The summary is in the log. */
  done(): void {
    this.#earlier = undefined;
    this.#failed = undefined;
  }

  /** The models, with what is asked of them for summaries looked at. Nothing else of Pi's asks for a whole answer. */
  watch(models: Models): Models {
    const completeSimple: Models["completeSimple"] = async (...request) => {
      const answer = await models.completeSimple(...request);
      this.#failed = isCut(answer) ? answer : undefined;
      if (this.#earlier === undefined || isCut(answer)) return answer;
      const earlier = { type: "text" as const, text: `\n\n**Before this turn:**\n\n${this.#earlier}` };
      return { ...answer, content: [...answer.content, earlier] };
    };
    return Object.assign(Object.create(models) as Models, { completeSimple });
  }
}
