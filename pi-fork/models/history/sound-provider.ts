import {
  type AssistantMessage,
  type AssistantMessageEvent,
  type AssistantMessageEventStream,
  createAssistantMessageEventStream,
  type Message,
  type Provider,
} from "@earendil-works/pi-ai";
import { changedAtEnd } from "../answers/whole-answer.ts";
import { CallIds } from "./call-ids.ts";
import { marked, toLeaveOut, without, withoutRefused } from "./left-out.ts";
import { isConversationRefused } from "./refusal.ts";
import { soundAnswer, soundHistory } from "./sound.ts";

/**
 * The provider, with nothing in a conversation that would have it refused for good. What the log holds is sent in a form that the API takes, and what
 * comes is checked before it gets into the log. A conversation that is refused all the same is sent once more without the pictures or the thoughts in
 * it; the answer is marked with that, so that later requests leave them out as well.
 */
export function withSoundHistory(provider: Provider): Provider {
  return {
    ...provider,
    streamSimple(model, context, options) {
      const messages = withoutRefused(context.messages);
      const ask = (asked: readonly Message[]): AssistantMessageEventStream => {
        const ids = new CallIds(model.api);
        const sound = soundHistory(asked, model.api, ids);
        const answers = provider.streamSimple(model, { ...context, messages: sound }, options);
        return changedAtEnd(answers, (answer) => soundAnswer(answer, model.api, ids));
      };
      return orElse(ask(messages), (refusal) => {
        if (options?.signal?.aborted || !isConversationRefused(refusal)) return undefined;
        const leftOut = toLeaveOut(refusal);
        const rest = without(messages, leftOut);
        return rest === undefined ? undefined : changedAtEnd(ask(rest), (answer) => marked(answer, leftOut));
      });
    },
  };
}

/** The stream, or if it fails before any of its answer came, what `second` has instead. */
function orElse(
  source: AssistantMessageEventStream,
  second: (failed: AssistantMessage) => AssistantMessageEventStream | undefined,
): AssistantMessageEventStream {
  const target = createAssistantMessageEventStream();
  const forward = async (): Promise<void> => {
    let held: AssistantMessageEvent[] | undefined = [];
    for await (const event of source) {
      const instead = event.type === "error" && held !== undefined ? second(event.error) : undefined;
      if (instead !== undefined) {
        for await (const other of instead) target.push(other);
        return;
      }
      held?.push(event);
      if (event.type === "start") continue;
      for (const early of held ?? [event]) target.push(early);
      held = undefined;
    }
  };
  const close = (): void => target.end();
  forward().then(close, close);
  return target;
}
