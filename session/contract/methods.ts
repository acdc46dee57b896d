/** What is left of each operation once its first arguments are given: a method that answers later. */
type Methods<First extends readonly unknown[], Operations> = {
  readonly [Name in keyof Operations]: Operations[Name] extends (...args: [...First, ...infer Rest]) => infer Result
    ? (...args: Rest) => Promise<Awaited<Result>>
    : never;
};

/**
 * The methods of a store, made of operations whose first arguments are the store's own. `run` calls the operation with these, inside whatever it
 * needs. An operation that throws rejects.
 */
export function methodsOf<
  First extends readonly unknown[],
  Operations extends Readonly<Record<string, (...args: [...First, ...never[]]) => unknown>>,
>(operations: Operations, run: (operation: (...first: First) => unknown) => unknown): Methods<First, Operations> {
  const methods = Object.entries(operations).map(([name, operation]) => {
    const call = operation as (...args: unknown[]) => unknown;
    return [name, async (...args: readonly unknown[]) => run((...first) => call(...first, ...args))];
  });
  return Object.fromEntries(methods) as Methods<First, Operations>;
}
