import { type Leaf, type LeafEvent, LeafState, type StateChanged, type TextDelta, type ToolEnded } from "@serverless-harness/proto/leaf";
import type { Output } from "../output.ts";
import { type EventView, newsText, ToolEndings, toolCallText, toolResultLines } from "./event-text.ts";
import { counted, duration, firstLine } from "./format.ts";

const RESULT_LINES = 4;

/**
 * Shows a turn as it happens: answers on stdout, the rest on stderr. On a terminal an answer grows piece by piece;
 * elsewhere it appears when it is complete, since a piece of an answer that is cut and asked for again could not be taken back.
 */
export class TurnView implements EventView {
  readonly #out: Output;
  readonly #leaf: Leaf;
  readonly #endings = new ToolEndings();
  #modelCalls = 0;
  /** Characters of the answer that are on the screen already. */
  #shown = 0;
  #atLineStart = true;
  #lastTimeMs: number;

  constructor(out: Output, leaf: Leaf) {
    this.#out = out;
    this.#leaf = leaf;
    this.#lastTimeMs = Number(leaf.createdAtMs);
  }

  show(entry: LeafEvent): void {
    const { event, timeMs } = entry;
    this.#endings.take(entry);
    this.#lastTimeMs = Number(timeMs);
    switch (event.case) {
      case "modelCallStarted":
        this.#modelCalls++;
        break;
      case "textDelta":
        this.#delta(event.value);
        break;
      case "answerDiscarded":
        this.#discard(event.value.reason);
        break;
      case "answer":
        this.#answer(event.value.text);
        break;
      case "toolStarted":
        this.#endLine();
        this.#out.note(`● ${toolCallText(event.value)}`);
        break;
      case "toolEnded":
        this.#result(event.value);
        break;
      case "gateOpened":
        this.#endLine();
        this.#out.warn(
          `asks: ${firstLine(event.value.gate?.summary ?? "", 200)}; answer with: leaf approve|reject|abort ${this.#leaf.leafId}`,
        );
        break;
      case "stateChanged":
        this.#state(event.value);
        break;
      default:
        this.#news(newsText(entry));
    }
  }

  end(): void {
    this.#endLine();
    const took = duration(this.#lastTimeMs - Number(this.#leaf.createdAtMs));
    const session = this.#leaf.spec?.sessionId ?? "";
    this.#out.note(`session ${session} · leaf ${this.#leaf.leafId} · ${took} · ${counted(this.#modelCalls, "model call")}`);
    this.#out.note(`go on with: leaf turn --session ${session} "..."`);
  }

  #delta({ text, thinking }: TextDelta): void {
    if (thinking || !this.#out.live) return;
    this.#print(text);
    this.#shown += text.length;
  }

  #discard(reason: string): void {
    this.#endLine();
    this.#shown = 0;
    this.#out.note(`(this answer was cut, it is asked for again: ${firstLine(reason, 200)})`);
  }

  #answer(text: string): void {
    if (this.#shown === 0 && text !== "") this.#print(text);
    this.#shown = 0;
    this.#endLine();
  }

  #result(ended: ToolEnded): void {
    const { noteColor } = this.#out;
    for (const line of toolResultLines(ended, RESULT_LINES))
      this.#out.note(`  ${this.#endings.isFailure(ended) ? noteColor.red(line) : line}`);
  }

  #news(text: string | undefined): void {
    if (text === undefined) return;
    this.#endLine();
    this.#out.note(`(${text})`);
  }

  #state({ state, notBeforeMs, failure, note }: StateChanged): void {
    if (state === LeafState.RETRYING) {
      const wait = duration(Math.max(0, Number(notBeforeMs) - this.#lastTimeMs));
      this.#out.warn(`tries again in ${wait}: ${firstLine(failure?.message ?? note, 200)}`);
    } else if (state === LeafState.SUSPENDED || note !== "") {
      this.#endLine();
      this.#out.note(`(${note || "suspended"})`);
    }
  }

  #print(text: string): void {
    if (text === "") return;
    this.#out.write(text);
    this.#atLineStart = text.endsWith("\n");
  }

  #endLine(): void {
    if (!this.#atLineStart) this.#out.write("\n");
    this.#atLineStart = true;
  }
}
