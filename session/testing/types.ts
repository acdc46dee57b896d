import type { LeafStore } from "../contract/leaf-store.ts";

/** A fresh, empty store that one case owns. */
export interface LeafStoreFixture extends AsyncDisposable {
  readonly store: LeafStore;
  /**
   * Another handle on the same store, as another process would have it; the fixture closes it. `now`: its clock, milliseconds since the Unix epoch, as
   * of a process that comes later.
   */
  connect(now?: () => number): Promise<LeafStore>;
}

/** A case of a suite that can be registered with any test runner. */
export interface ConformanceCase {
  readonly group: string;
  readonly name: string;
  run(): Promise<void>;
}

/** A case's name, a sentence of behaviour, and its check, which throws if the store does not behave so. */
export type Case = readonly [name: string, check: (fixture: LeafStoreFixture) => Promise<void>];
