import { create } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";

/** How long a stream is silent at the most, in milliseconds: proxies cut one after 30 to 60 s without data. */
export const KEEP_ALIVE_MS = 15_000;

type Arrived<T> = IteratorResult<T> | { readonly error: unknown };

/**
 * Send a message without content whenever nothing was sent for a time: proxies cut a stream that is silent, and a ping of HTTP/2 is no
 * data of the stream to them. A leaf may wait for days at a gate, and a command for hours.
 */
export async function* keptAlive<T extends object>(stream: AsyncIterable<T>, empty: T, everyMs: number): AsyncGenerator<T> {
  const messages = stream[Symbol.asyncIterator]();
  const inbox: { arrived: Arrived<T> | undefined; wake: () => void } = { arrived: undefined, wake: () => undefined };
  const arrive = (arrived: Arrived<T>): void => {
    inbox.arrived = arrived;
    inbox.wake();
  };
  const take = (): void => {
    inbox.arrived = undefined;
    messages.next().then(arrive, (error: unknown) => arrive({ error }));
  };
  // One timer for the whole stream: much output passes here.
  const timer = setTimeout(() => inbox.wake(), everyMs);
  try {
    take();
    for (;;) {
      if (inbox.arrived === undefined) {
        await new Promise<void>((resolve) => {
          inbox.wake = resolve;
        });
      }
      const { arrived } = inbox;
      if (arrived !== undefined && "error" in arrived) throw arrived.error;
      if (arrived?.done === true) return;
      yield arrived === undefined ? empty : arrived.value;
      if (arrived !== undefined) take();
      timer.refresh();
    }
  } finally {
    clearTimeout(timer);
    // What it still waits for ends with the call's signal.
    messages.return?.().catch(() => undefined);
  }
}

/** Keeps every stream alive that a server sends for one of these services, by their full names. Their clients have to pass over empty messages. */
export function keepAlive(services: readonly string[], everyMs: number): Interceptor {
  return (next) => async (request) => {
    const response = await next(request);
    if (!response.stream || request.method.methodKind === "client_streaming" || !services.includes(request.service.typeName))
      return response;
    return { ...response, message: keptAlive(response.message, create(request.method.output), everyMs) };
  };
}
