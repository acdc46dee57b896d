import { BACKGROUND_CONTEXT as CONTEXT, type Session, value } from "@earendil-works/pi-agent-core";

/** The instructions that an operation began with. */
interface Kept {
  readonly operationId: string;
  readonly text: string;
}

/** One per session, of its newest operation that had any. */
const KEPT = value<Kept>("harness.instructions", "main");

/**
 * The workspace's instructions for an operation: those that were there when it began, whoever works on it and whatever the agent makes of the files
 * meanwhile. So each request begins as the one before, which providers cache, and nothing that a command writes changes the rules in the middle.
 */
export class Instructions {
  readonly #session: Session;
  readonly #read: () => Promise<string>;
  #early: Promise<string> | undefined;
  #text = "";

  /** `early`: what `read` brings, asked before anything else. */
  constructor(session: Session, read: () => Promise<string>, early: Promise<string>) {
    this.#session = session;
    this.#read = read;
    this.#early = early;
    early.catch(() => undefined);
  }

  /** What the model is told now. */
  get text(): string {
    return this.#text;
  }

  /** The workspace's files are others by now. */
  changed(): void {
    this.#early = undefined;
  }

  /** An operation is about to begin. */
  async begin(operationId: string): Promise<void> {
    this.#text = await (this.#early ?? this.#read());
    if (this.#text !== "") await this.#session.setValue(KEPT, { operationId, text: this.#text }, CONTEXT);
  }

  /** An operation that had begun goes on. */
  async takeUp(operationId: string): Promise<void> {
    const kept = (await this.#session.getValue(KEPT, CONTEXT))?.value;
    this.#text = kept?.operationId === operationId ? kept.text : "";
  }
}
