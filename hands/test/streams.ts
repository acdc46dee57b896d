/** A stream of messages. */
export async function* messages<T>(...all: T[]): AsyncGenerator<T> {
  yield* all;
}

/** All of a stream. */
export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of stream) all.push(item);
  return all;
}
