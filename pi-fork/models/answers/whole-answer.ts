import { type AssistantMessage, type AssistantMessageEventStream, createAssistantMessageEventStream } from "@earendil-works/pi-ai";

/** The same stream of an answer, which ends with what `change` makes of the whole answer: it may turn one that came well into one that failed. */
export function changedAtEnd(
  source: AssistantMessageEventStream,
  change: (answer: AssistantMessage) => AssistantMessage,
): AssistantMessageEventStream {
  const target = createAssistantMessageEventStream();
  const end = (answer: AssistantMessage): void => {
    const changed = attempt(change, answer);
    const { stopReason: reason } = changed;
    if (reason === "stop" || reason === "length" || reason === "toolUse" || reason === "deferred") {
      target.push({ type: "done", reason, message: changed });
    } else target.push({ type: "error", reason: reason === "aborted" ? reason : "error", error: changed });
  };
  const forward = async (): Promise<void> => {
    for await (const event of source) {
      if (event.type === "error") end(event.error);
      else if (event.type === "done") end(event.message);
      else target.push(event);
    }
  };
  const close = (): void => target.end();
  forward().then(close, close);
  return target;
}

/** An answer that can't be changed is none that anybody could read. */
function attempt(change: (answer: AssistantMessage) => AssistantMessage, answer: AssistantMessage): AssistantMessage {
  try {
    return change(answer);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { ...answer, content: [], stopReason: "error", errorMessage: `the answer can't be read: ${why}` };
  }
}
