/**
 * Anthropic's API streams a tool call's arguments in small pieces, and Pi parses all of them again with each: a second for 100 KiB, minutes for 1
 * MiB. Merged into pieces that grow with what is there already, the same arguments cost a few times their length.
 */

const BEGIN = "event: content_block_delta\n";
const END = "\n\n";
/** Smallest merged piece, in characters. */
const SMALLEST = 256;
/** A piece is at least this part of what came before it. */
const PART = 4;

interface Pending {
  readonly index: number;
  text: string;
}

/** The same stream of server-sent events, with neighbouring pieces of a tool call's arguments merged. Anything else passes as it is. */
export async function* mergeArguments(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const merger = new Merger();
  let rest = "";
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    const end = rest.lastIndexOf(END);
    if (end < 0) continue;
    const out = merger.take(rest.slice(0, end + END.length));
    rest = rest.slice(end + END.length);
    if (out !== "") yield encoder.encode(out);
  }
  const last = merger.flush() + rest + decoder.decode();
  if (last !== "") yield encoder.encode(last);
}

class Merger {
  #pending: Pending | undefined;
  /** Characters of the call's arguments that were passed on. */
  #passed = 0;

  /** Take whole events; returns those that pass. */
  take(events: string): string {
    const out: string[] = [];
    for (let at = 0; at < events.length; ) {
      const end = events.indexOf(END, at) + END.length;
      this.#event(events.slice(at, end), out);
      at = end;
    }
    return out.join("");
  }

  /** What waits for more. */
  flush(): string {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending === undefined) return "";
    this.#passed += pending.text.length;
    const delta = { type: "input_json_delta", partial_json: pending.text };
    return `${BEGIN}data: ${JSON.stringify({ type: "content_block_delta", index: pending.index, delta })}${END}`;
  }

  #event(event: string, out: string[]): void {
    const piece = pieceIn(event);
    if (piece === undefined) {
      out.push(this.flush(), event);
      // The next call's arguments begin anew.
      if (!event.startsWith("event: ping")) this.#passed = 0;
      return;
    }
    if (this.#pending !== undefined && this.#pending.index !== piece.index) out.push(this.flush());
    if (this.#pending === undefined) this.#pending = piece;
    else this.#pending.text += piece.text;
    if (this.#pending.text.length >= Math.max(SMALLEST, this.#passed / PART)) out.push(this.flush());
  }
}

/** The piece of a tool call's arguments that an event is, where it is one. */
function pieceIn(event: string): Pending | undefined {
  if (!event.startsWith(BEGIN) || !event.includes('"input_json_delta"')) return undefined;
  try {
    const { index, delta } = JSON.parse(event.slice(event.indexOf("data:") + "data:".length)) as {
      index: number;
      delta: { type: string; partial_json: string };
    };
    if (delta.type !== "input_json_delta" || typeof delta.partial_json !== "string") return undefined;
    return { index, text: delta.partial_json };
  } catch {
    return undefined;
  }
}
