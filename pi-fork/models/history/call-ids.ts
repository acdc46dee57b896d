import { createHash } from "node:crypto";
import type { Api } from "@earendil-works/pi-ai";

/** What an API takes as the id of a tool call. */
interface IdRule {
  readonly legal: RegExp;
  /** Characters of an id that is made here, its beginning included. */
  readonly length: number;
  readonly prefix: string;
  /** An id has a second part, which names the item of the answer: `call_1|fc_1`. */
  readonly hasItem?: true;
}

const PRINTABLE = /^[\x21-\x7e]{1,64}$/;
const STRICT: IdRule = { legal: /^[a-zA-Z0-9_-]{1,64}$/, prefix: "call_", length: 32 };
const WITH_ITEM: IdRule = { ...STRICT, hasItem: true };
const RULES: Readonly<Record<string, IdRule>> = {
  // Providers of this API have ids of their own making, as `functions.bash:0`.
  "openai-completions": { ...STRICT, legal: PRINTABLE },
  "openai-responses": WITH_ITEM,
  "azure-openai-responses": WITH_ITEM,
  "openai-codex-responses": WITH_ITEM,
  "mistral-conversations": { legal: /^[a-zA-Z0-9]{9}$/, prefix: "", length: 9 },
};
const SEPARATOR = "|";
/** Copilot's ids of items are long, and no name is. */
const ITEM = /^[\x21-\x7e]{1,1024}$/;

/** Gives the tool calls of one conversation ids that an API takes, each once. An id that can stay does. */
export class CallIds {
  readonly #rule: IdRule;
  readonly #calls = new Set<string>();
  readonly #items = new Set<string>();

  constructor(api: Api) {
    this.#rule = RULES[api] ?? STRICT;
  }

  /** The id of the conversation's next call, which may have come without one: the same for the same calls in the same order. */
  take(given: string | undefined): string {
    const id = typeof given === "string" ? given : "";
    const [call = "", item] = this.#rule.hasItem ? id.split(SEPARATOR, 2) : [id];
    const taken = this.#rule.legal.test(call) && !this.#calls.has(call) ? call : this.#fresh(id);
    this.#calls.add(taken);
    if (item === undefined || !ITEM.test(item) || this.#items.has(item)) return taken;
    this.#items.add(item);
    return taken + SEPARATOR + item;
  }

  #fresh(id: string): string {
    const { prefix, length } = this.#rule;
    for (let attempt = 0; ; attempt++) {
      const hash = createHash("sha256").update(`${this.#calls.size} ${attempt} ${id}`).digest("hex");
      const made = (prefix + hash).slice(0, length);
      if (!this.#calls.has(made)) return made;
    }
  }
}
