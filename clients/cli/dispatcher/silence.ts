import { type LeafEvent, LeafState } from "@serverless-harness/proto/leaf";
import type { Context } from "../context.ts";
import { toolCallText } from "../view/event-text.ts";
import { withDispatcher } from "./call.ts";
import { sandboxNote, waitsFor } from "./waits.ts";

/** After how many milliseconds without news we say what the leaf waits for. */
const SILENCE_MS = 2000;

/** Says what a leaf waits for when nothing is heard of it, once for each thing. */
export class Silence {
  readonly #context: Context;
  readonly #leafId: string;
  readonly #timer: NodeJS.Timeout;
  /** What the leaf itself does while it runs. */
  #work = "for its brain to open session and sandbox";
  /** Tool calls that have not ended. */
  #runs = 0;
  #told = "";
  #isOver = false;

  constructor(context: Context, leafId: string) {
    this.#context = context;
    this.#leafId = leafId;
    this.#timer = setTimeout(() => void this.#tell(), SILENCE_MS);
  }

  heard({ event }: LeafEvent): void {
    this.#timer.refresh();
    this.#told = "";
    if (event.case === "modelCallStarted") this.#work = `for the model ${event.value.model}`;
    else if (event.case === "answer") this.#work = "for its brain";
    else if (event.case === "toolStarted") {
      this.#runs++;
      this.#work = `for ${toolCallText(event.value)}`;
    } else if (event.case === "toolEnded") {
      this.#runs--;
      if (this.#runs <= 0) this.#work = "for its brain";
    }
  }

  end(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  async #tell(): Promise<void> {
    // If the dispatcher is away, whoever follows the leaf's events says so, and how long it waits for it.
    const what = await this.#look().catch(() => undefined);
    if (this.#isOver) return;
    if (what !== undefined && what !== this.#told) this.#context.out.note(`(waits ${what})`);
    this.#told = what ?? this.#told;
    this.#timer.refresh();
  }

  async #look(): Promise<string | undefined> {
    const { leaf } = await withDispatcher(this.#context, ({ leaves }) => leaves.get({ leafId: this.#leafId }));
    if (leaf === undefined) return undefined;
    const isAtWork = leaf.state === LeafState.RUNNING || (leaf.state === LeafState.SUSPENDED && this.#runs > 0);
    return isAtWork ? `${this.#work}${await sandboxNote(this.#context)}` : await waitsFor(this.#context, leaf);
  }
}
