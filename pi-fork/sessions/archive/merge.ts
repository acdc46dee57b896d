/** Merge sources that are in order each. */
export async function* inOrder<T extends { readonly seq: number }>(sources: readonly AsyncIterator<T>[]): AsyncGenerator<T> {
  const heads = (await Promise.all(sources.map((source) => source.next()))).map((result, i) => ({ result, source: sources[i] }));
  for (;;) {
    let first: (typeof heads)[number] | undefined;
    for (const head of heads) {
      if (!head.result.done && (first === undefined || first.result.done || head.result.value.seq < first.result.value.seq)) first = head;
    }
    if (first === undefined || first.result.done || first.source === undefined) return;
    yield first.result.value;
    first.result = await first.source.next();
  }
}
