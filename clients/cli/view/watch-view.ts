import { type Decision, DecisionKind, FailureReason, type Leaf, type LeafEvent, type StateChanged } from "@serverless-harness/proto/leaf";
import type { Colors, Output } from "../output.ts";
import { type EventView, newsText, ToolEndings, toolCallText, toolResultLines } from "./event-text.ts";
import { counted, firstLine } from "./format.ts";
import { nameOf, paintState } from "./leaf-text.ts";

const RESULT_LINES = 20;
const SEQ_WIDTH = 5;
const TIME_WIDTH = 10;

/** Shows a leaf's events a line each, with their number and the time since the leaf was submitted. */
export class WatchView implements EventView {
  readonly #out: Output;
  readonly #createdAtMs: bigint;
  readonly #endings = new ToolEndings();

  constructor(out: Output, leaf: Leaf) {
    this.#out = out;
    this.#createdAtMs = leaf.createdAtMs;
  }

  show(event: LeafEvent): void {
    this.#endings.take(event);
    const [first, ...rest] = describe(event, this.#endings, this.#out.color);
    if (first === undefined) return;
    const seconds = `+${(Number(event.timeMs - this.#createdAtMs) / 1000).toFixed(3)} s`;
    const place = `${String(event.seq).padStart(SEQ_WIDTH)} ${seconds.padStart(TIME_WIDTH)}`;
    this.#out.line(`${this.#out.color.dim(place)}  ${first}`);
    for (const line of rest) this.#out.line(`${" ".repeat(place.length + 2)}${line}`);
  }

  end(): void {
    // The terminal event has said it.
  }
}

/** What happened, in lines; none for what a human does not need to see. */
function describe(entry: LeafEvent, endings: ToolEndings, color: Colors): string[] {
  const { event } = entry;
  switch (event.case) {
    case "stateChanged":
      return describeState(event.value, color);
    case "modelCallStarted":
      return [`asks ${event.value.model}${event.value.attempt > 1 ? `, attempt ${event.value.attempt}` : ""}`];
    case "answerDiscarded":
      return [color.yellow(`answer cut: ${firstLine(event.value.reason, 200)}`)];
    case "answer":
      return [`answer ${color.dim(event.value.entryId)}`, ...nonEmpty(event.value.text)];
    case "toolStarted":
      return [toolCallText(event.value)];
    case "toolEnded":
      return [
        endings.isFailure(event.value) ? color.red(endings.text(event.value)) : endings.text(event.value),
        ...toolResultLines(event.value, RESULT_LINES),
      ];
    case "usage":
      return [
        color.dim(
          `used ${counted(event.value.modelCalls, "model call")}, ${event.value.inputTokens} + ${event.value.outputTokens} tokens so far`,
        ),
      ];
    case "gateOpened":
      return [
        color.yellow(`asks: ${firstLine(event.value.gate?.summary ?? "", 200)}`),
        ...nonEmpty(event.value.gate?.proposedAction ?? ""),
      ];
    case "gateDecided":
      return [decisionText(event.value.decision), ...nonEmpty(event.value.decision?.feedback ?? "")];
    case "cancelRequested":
      return [color.yellow(`cancel asked for${event.value.requestedBy === "" ? "" : ` by ${event.value.requestedBy}`}`)];
    case "messageReceived":
      return [color.yellow(newsText(entry) ?? ""), ...nonEmpty(event.value.message?.text ?? "").slice(1)];
    default:
      return [newsText(entry)].filter((line) => line !== undefined);
  }
}

function describeState({ state, worker, failure, note, epoch }: StateChanged, color: Colors): string[] {
  const by = worker === undefined ? "" : ` by ${worker.name} (pid ${worker.pid}, epoch ${epoch})`;
  const why = failure === undefined ? "" : `: ${nameOf(FailureReason, failure.reason)}: ${firstLine(failure.message, 200)}`;
  const aside = note === "" ? "" : ` (${note})`;
  return [`${paintState(state, color)}${by}${why}${aside}`];
}

function decisionText(decision: Decision | undefined): string {
  const by = decision?.decidedBy ? ` by ${decision.decidedBy}` : "";
  return `decided: ${nameOf(DecisionKind, decision?.kind ?? DecisionKind.UNSPECIFIED)}${by}`;
}

function nonEmpty(text: string): string[] {
  const lines = text.trimEnd().split("\n");
  return lines.length === 1 && lines[0] === "" ? [] : lines;
}
