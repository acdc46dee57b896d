import { isObject } from "@serverless-harness/kit/json-schema/well-formed";

const BEGIN = "data: {";

/**
 * Keeps the calls of a streamed answer of OpenAI's Chat Completions API apart. Servers that give several calls one id have them told apart by their
 * index only, and pi-ai takes them for pieces of one call.
 */
export class SeparateCalls {
  /** Index of the call that has an id. */
  readonly #owners = new Map<string, unknown>();

  /** The event, with an id of its own for a call whose id is another one's. */
  event(event: string): string {
    if (!event.startsWith(BEGIN) || !event.includes('"tool_calls"')) return event;
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
