import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { storeDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { openRedisLeafStore } from "../../redis/store.ts";
import { openSqliteLeafStore } from "../../sqlite/store.ts";
import { redisServer } from "../../testing/redis-vitest.ts";
import { addressOf } from "../redis-fixture.ts";
import { explore } from "./explore.ts";
import { firstWorld, RULES, type Scope, type World } from "./model.ts";
import { RealStore, type Store } from "./real-store.ts";
import { step } from "./step.ts";
import { coveringWalks, type Walk } from "./walks.ts";

const server = redisServer();

const drivers = {
  SQLite: async (now: () => number) => openSqliteLeafStore(join(await storeDirectory(), "leaf.db"), { now }),
  Redis: async (now: () => number) => openRedisLeafStore(addressOf(server().freshUrl("partitions=1")), { now }),
};

/** A crash is nothing that a store sees, and a failover needs two of them. Where leaves wait, two sessions have too many ways to walk. */
const SCOPES: Readonly<Record<string, { readonly sessions: readonly number[]; readonly scope: Scope }>> = {
  "two leaves on two sessions": { sessions: [0, 1], scope: { suspend: false, crash: false, failover: false } },
  "two leaves on one session": { sessions: [0, 0], scope: { suspend: false, crash: false, failover: false } },
  "two leaves on one session that wait and are woken": { sessions: [0, 0], scope: { suspend: true, crash: false, failover: false } },
};

const cases = Object.entries(drivers).flatMap(([driver, open]) =>
  Object.entries(SCOPES).map(([name, { sessions, scope }]) => ({ driver, open, name, sessions, scope })),
);

/** Stores that are walked at once: each has most of its time to wait for a disk or a server. */
const STORES = 4;

test.each(cases)(
  "$driver takes every step of the machine as it does, with $name",
  { timeout: 600_000 },
  async ({ open, sessions, scope }) => {
    const { graph } = explore(firstWorld(sessions, scope), RULES, scope);
    const walks = coveringWalks(graph).entries();
    const work = async (): Promise<void> => {
      const clock = { nowMs: 1_000_000 };
      const store: Store = await open(() => clock.nowMs);
      onTestFinished(() => store.close());
      for (const [number, walk] of walks) await follow(walk, new RealStore(store, clock, sessions, number), firstWorld(sessions, scope));
    };
    await Promise.all(Array.from({ length: STORES }, work));
  },
);

/** Walk the machine and the store side by side. */
async function follow(walk: Walk, real: RealStore, first: World): Promise<void> {
  const worlds = worldsOf(walk, first);
  const logs: string[][] = first.leaves.map(() => []);
  let world = first;
  for (const [index, { action, to, inMirror }] of walk.entries()) {
    const { world: after, answer } = step(world, action, RULES);
    const same = (taken: unknown, wanted: unknown): void => {
      if (isDeepStrictEqual(taken, wanted)) return;
      const trace = JSON.stringify(walk.slice(0, index + 1).map((each) => each.action));
      expect(taken, trace).toEqual(wanted);
    };
    same(withoutEpoch(await real.take(action, stepsUntilDue(walk, worlds, index))), withoutEpoch(answer));
    // Steps that leave the world as it is follow each other, so one look at the end of them shows that they did.
    const next = walk[index + 1];
    const stays = next?.to === to && next.inMirror === inMirror;
    if (!stays) {
      const records = await Promise.all(after.leaves.map((_, number) => real.look(number)));
      same(
        records,
        after.leaves.map(({ state, worker }) => ({ state, worker })),
      );
    }
    for (const [number, { state, waits }] of after.leaves.entries()) {
      const before = world.leaves[number];
      if (
        state !== before?.state ||
        before.waits !== waits ||
        (action.kind === "claim" && typeof answer === "object" && answer.leaf === number)
      ) {
        logs[number]?.push(state);
      }
      if (action.kind === "append" && action.leaf === number && answer === "ok") logs[number]?.push("text");
    }
    world = after;
  }
  for (const [number, log] of logs.entries()) expect(await real.log(number)).toEqual(log);
}

function worldsOf(walk: Walk, first: World): World[] {
  const worlds = [first];
  for (const { action } of walk) worlds.push(step(worlds.at(-1) ?? first, action, RULES).world);
  return worlds;
}

/** When the lease or the wait ends that this step begins: after so many steps, or never, where something else happens before. */
function stepsUntilDue(walk: Walk, worlds: readonly World[], index: number): number | undefined {
  const leaves = (at: number) => worlds[at]?.leaves ?? [];
  const begun = leaves(index + 1).findIndex((leaf, i) => leaf !== leaves(index)[i]);
  for (let next = index + 1; next < walk.length; next++) {
    const kind = walk[next]?.action.kind;
    if (leaves(next + 1)[begun] === leaves(next)[begun] || kind === "append" || kind === "wake") continue;
    return kind === "expire" || kind === "comeDue" ? next - index : undefined;
  }
  return undefined;
}

function withoutEpoch(answer: unknown): unknown {
  return typeof answer === "object" && answer !== null ? { ...answer, epoch: undefined } : answer;
}
