import { isObject } from "@serverless-harness/kit/json-schema/well-formed";
import { CallArguments } from "./call-arguments.ts";

/**
 * Neighbouring pieces of a streamed answer of Anthropic's API, merged. Each piece costs a commit, and Pi parses all arguments of a call again with each piece
 * of them: a second for 100 KiB, minutes for 1 MiB. So pieces of arguments are merged until they are a part of what is there already, which
 * makes the cost a few times the length, and pieces of text if they came together.
 */

const BEGIN = "event: content_block_delta\n";
const END = "\n\n";
const CARRIAGE_RETURN = 13;
/** Smallest merged piece of arguments, in characters. */
const SMALLEST = 256;
/** A piece of arguments is at least this part of what came before it. */
const PART = 4;

/** The one field of a delta that holds its piece. */
const FIELDS = { input_json_delta: "partial_json", text_delta: "text", thinking_delta: "thinking" } as const;
type Kind = keyof typeof FIELDS;

interface Piece {
  readonly index: number;
  readonly kind: Kind;
  readonly text: string;
}

/**
 * The same stream of server-sent events with fewer pieces, and calls that are told apart. Anything else passes as it is. Throws if a call's arguments can't be used, so that
 * no call is made with a part of them.
 */
export async function* mergePieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const merger = new EventMerger();
  let rest = "";
  let foreign = false;
  for await (const chunk of chunks) {
    // Events whose lines end otherwise are nobody's that is known: they pass as they are.
    foreign ||= chunk.includes(CARRIAGE_RETURN);
    if (foreign) {
      const held = encoder.encode(merger.flush() + rest);
      rest = "";
      if (held.length > 0) yield held;
      yield chunk;
      continue;
    }
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

class EventMerger {
  #waiting: Piece[] = [];
  #waitingChars = 0;
  #call = new CallArguments();
  readonly #separate = new SeparateCalls();
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
    // Text is never kept waiting.
    if (this.#waiting[0]?.kind !== "input_json_delta") out.push(this.flush());
    return out.join("");
  }

  /** What waits for more. */
  flush(): string {
    const [first] = this.#waiting;
    if (first === undefined) return "";
    const text = this.#waiting.map((piece) => piece.text).join("");
    this.#waiting = [];
    this.#waitingChars = 0;
    if (first.kind === "input_json_delta") this.#passed += text.length;
    const delta = { type: first.kind, [FIELDS[first.kind]]: text };
    return `${BEGIN}data: ${JSON.stringify({ type: "content_block_delta", index: first.index, delta })}${END}`;
  }

  #event(event: string, out: string[]): void {
    const piece = pieceIn(event);
    const [first] = this.#waiting;
    if (first !== undefined && (first.index !== piece?.index || first.kind !== piece.kind)) out.push(this.flush());
    if (piece === undefined) {
      this.#other(event);
      out.push(this.#separate.event(event));
      return;
    }
    this.#waiting.push(piece);
    this.#waitingChars += piece.text.length;
    if (piece.kind !== "input_json_delta") return;
    this.#call.add(piece.text);
    if (this.#waitingChars >= Math.max(SMALLEST, this.#passed / PART)) out.push(this.flush());
  }

  #other(event: string): void {
    if (event.startsWith("event: content_block_start")) {
      this.#call.begin();
      this.#passed = 0;
    } else if (event.startsWith("event: content_block_stop")) this.#call.end();
    // A call that was cut at the output limit is not made anyway, and the model is told.
    else if (event.startsWith("event: message_delta") && /"stop_reason":\s*"tool_use"/.test(event)) this.#call.check();
  }
}

/** The piece that an event is, if it is one that can be merged. */
function pieceIn(event: string): Piece | undefined {
  if (!event.startsWith(BEGIN)) return undefined;
  try {
    const { index, delta } = JSON.parse(event.slice(event.indexOf("data:") + "data:".length)) as {
      index: number;
      delta: Readonly<Record<string, unknown>>;
    };
    const kind = delta["type"] as Kind;
    const text = Object.hasOwn(FIELDS, kind) ? delta[FIELDS[kind]] : undefined;
    return typeof text === "string" ? { index, kind, text } : undefined;
  } catch {
    return undefined;
  }
}

const DATA = "data: {";

/**
 * Keeps the calls of a streamed answer of OpenAI's Chat Completions API apart. Servers that give several calls one id have them told apart by their
 * index only, and pi-ai takes them for pieces of one call.
 */
class SeparateCalls {
  /** Index of the call that has an id. */
  readonly #owners = new Map<string, unknown>();

  /** The event, with an id of its own for a call whose id is another one's. */
  event(event: string): string {
    if (!event.startsWith(DATA) || !event.includes('"tool_calls"')) return event;
    const chunk = parsed(event.slice(event.indexOf("{")));
    const changed = callsIn(chunk).filter((call) => this.#separate(call));
    return changed.length === 0 ? event : `data: ${JSON.stringify(chunk)}\n\n`;
  }

  #separate(call: Record<string, unknown>): boolean {
    const { id, index } = call;
    if (typeof id !== "string" || id === "" || typeof index !== "number") return false;
    const owner = this.#owners.get(id);
    this.#owners.set(id, owner ?? index);
    if (owner === undefined || owner === index) return false;
    call["id"] = `${id}_${index}`;
    return true;
  }
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function callsIn(chunk: unknown): Array<Record<string, unknown>> {
  const choices = isObject(chunk) && Array.isArray(chunk["choices"]) ? chunk["choices"] : [];
  const deltas = choices.map((choice) => (isObject(choice) ? choice["delta"] : undefined)).filter(isObject);
  return deltas.flatMap(({ tool_calls: calls }) => (Array.isArray(calls) ? calls.filter(isObject) : []));
}
