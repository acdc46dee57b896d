/**
 * Pass a stream on until its client goes away. A write that the leaving client cut comes back as an exception at the `yield`: no
 * failure of the call, so it ends here.
 */
export async function* whileRead<T>(stream: AsyncIterable<T>, call: AbortSignal): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (error) {
    if (!call.aborted) throw error;
  }
}

/**
 * Send a message without content whenever nothing was sent for a time: proxies cut a stream that is silent. A leaf may wait for
 * days at a gate.
 */
export async function* keptAlive<T extends object>(stream: AsyncIterable<T>, empty: T, everyMs: number): AsyncGenerator<T> {
  const messages = stream[Symbol.asyncIterator]();
  try {
    for (let next = messages.next(); ; ) {
      const silence = Promise.withResolvers<undefined>();
      const timer = setTimeout(() => silence.resolve(undefined), everyMs);
      const result = await Promise.race([next, silence.promise]).finally(() => clearTimeout(timer));
      if (result?.done === true) return;
      yield result === undefined ? empty : result.value;
      if (result !== undefined) next = messages.next();
    }
  } finally {
    // What it still waits for ends with the call's signal.
    messages.return?.().catch(() => undefined);
  }
}
