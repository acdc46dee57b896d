import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { LONG_LEASE_MS } from "./build.ts";
import type { Case } from "./types.ts";

export const dutyCases: readonly Case[] = [
  [
    "a duty is one holder's, who may keep it, and others have their own",
    async ({ store, connect }) => {
      const other = await connect();
      strictEqual(await store.takeDuty("wake", "a", LONG_LEASE_MS), true);
      strictEqual(await other.takeDuty("wake", "b", LONG_LEASE_MS), false);
      strictEqual(await store.takeDuty("wake", "a", LONG_LEASE_MS), true);
      strictEqual(await other.takeDuty("sweep/all {1}", "b", LONG_LEASE_MS), true);
    },
  ],
  [
    "of many that take a duty at once one has it",
    async ({ connect }) => {
      const handles = await Promise.all(Array.from({ length: 8 }, () => connect()));
      const taken = await Promise.all(handles.map((handle, i) => handle.takeDuty("wake", `holder-${i}`, LONG_LEASE_MS)));
      strictEqual(taken.filter((has) => has).length, 1);
    },
  ],
  [
    "a duty that is left is free at once, and nobody leaves another one's",
    async ({ store, connect }) => {
      const other = await connect();
      await store.takeDuty("wake", "a", LONG_LEASE_MS);
      await other.leaveDuty("wake", "b");
      strictEqual(await other.takeDuty("wake", "b", LONG_LEASE_MS), false);
      await store.leaveDuty("wake", "a");
      await store.leaveDuty("wake", "a");
      strictEqual(await other.takeDuty("wake", "b", LONG_LEASE_MS), true);
    },
  ],
  [
    "a duty whose holder is gone is free when its time is over",
    async ({ store, connect }) => {
      const later = await connect(() => Date.now() + 60_000);
      await store.takeDuty("wake", "a", 30_000);
      deepStrictEqual([await later.takeDuty("wake", "b", 30_000), await later.takeDuty("wake", "c", 30_000)], [true, false]);
    },
  ],
];
