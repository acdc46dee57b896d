import { type Context, createContextKey, withContextValue } from "@earendil-works/pi-agent-core";
import { newId } from "@serverless-harness/kit/ids";

/** Hands out the ids of what one tool call does in the sandbox, the same ones in the same order whenever the call is replayed. */
class Invocation {
  readonly #id: string;
  #used = 0;

  constructor(id: string) {
    this.#id = id;
  }

  nextId(): string {
    const suffix = this.#used++;
    return suffix === 0 ? this.#id : `${this.#id}.${suffix}`;
  }
}

const INVOCATION = createContextKey<Invocation>("serverless-harness.invocation");

/**
 * A context that names the tool call which everything below it belongs to. The id travels here and not in an environment made per
 * call, because Pi's file lock is keyed by the environment's identity.
 */
export function withInvocation(invocationId: string, context: Context): Context {
  return withContextValue(INVOCATION, new Invocation(invocationId), context);
}

/** Id for the next exec or change to a file: the invocation's own, then `<invocation>.1`, ... Outside of a tool call: a new one. */
export function nextEffectId(context: Context): string {
  return context.value(INVOCATION)?.nextId() ?? newId("call");
}
