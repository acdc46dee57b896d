import type { LeafStore } from "../leaf-store.ts";
import type { Retained } from "../retention.ts";
import type { Schedules } from "../schedules.ts";
import type { Tenants } from "../tenants.ts";
import type { WaitingLeaves } from "../waiting.ts";

/** A store with all that there is. */
export type FullStore = LeafStore & WaitingLeaves & Retained & Tenants & Schedules;

/** What a driver may lack for now; a case that needs more than the driver has is left out. */
export type Feature = "waits" | "retention" | "tenants" | "schedules";

/** A fresh, empty store that one case owns. */
export interface LeafStoreFixture<Store extends LeafStore = LeafStore> extends AsyncDisposable {
  readonly store: Store;
  /** Another handle on the same store, as another process would have it; the fixture closes it. */
  connect(): Promise<Store>;
}

/** A case of a suite that can be registered with any test runner. */
export interface ConformanceCase {
  readonly group: string;
  readonly name: string;
  run(): Promise<void>;
}

/** A case's name, a sentence of behaviour, and its check, which throws where the store does not behave so. */
export type Case = readonly [name: string, check: (fixture: LeafStoreFixture<FullStore>) => Promise<void>];
