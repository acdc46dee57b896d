import { type AssistantMessage, type AssistantMessageEventStream, createAssistantMessageEventStream } from "@earendil-works/pi-ai";

/** The same stream of an answer, which ends with what `change` makes of the whole answer: it may turn one that came well into one that failed. */
export function changedAtEnd(
  source: AssistantMessageEventStream,
  change: (answer: AssistantMessage) => AssistantMessage,
): AssistantMessageEventStream {
  const target = createAssistantMessageEventStream();
  const forward = async (): Promise<void> => {
    for await (const event of source) {
      if (event.type === "error") pushEnd(target, change(event.error));
      else if (event.type === "done") pushEnd(target, change(event.message));
      else target.push(event);
    }
    target.end();
  };
  forward().catch(() => target.end());
  return target;
}

function pushEnd(target: AssistantMessageEventStream, answer: AssistantMessage): void {
  const { stopReason: reason } = answer;
  if (reason === "pending") throw new Error("an answer that has ended can't be pending");
  if (reason === "error" || reason === "aborted") target.push({ type: "error", reason, error: answer });
  else target.push({ type: "done", reason, message: answer });
}
