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
