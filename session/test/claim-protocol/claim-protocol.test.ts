import { expect, test } from "vitest";
import { explore } from "./explore.ts";
import { firstWorld, RULES } from "./model.ts";
import { MUTANTS } from "./mutants.ts";

const EVERYTHING = { suspend: true, crash: true, failover: true };

/** Every world, whoever dies, whoever comes back late, and whatever a failover forgets. More or fewer than these: the machine was changed. */
test.each([
  ["two sessions", [0, 1], 175_215, 4_251_846],
  ["one session", [0, 0], 19_695, 419_700],
] as const)(
  "two leaves on %s keep every promise in every world that can be reached",
  { timeout: 600_000 },
  (_, sessions, worlds, transitions) => {
    const { graph, violation } = explore(firstWorld(sessions, EVERYTHING), RULES, EVERYTHING);
    expect(violation).toBeUndefined();
    const reached = graph.standsFor.reduce((sum, count) => sum + count, 0);
    const taken = graph.edges.reduce((sum, out, world) => sum + out.length * (graph.standsFor[world] ?? 0), 0);
    expect([reached, taken]).toEqual([worlds, transitions]);
  },
);

test.each(Object.entries(MUTANTS))("where %s, the check finds it", (_, { rules, found }) => {
  expect(explore(firstWorld([0, 0], EVERYTHING), rules, EVERYTHING).violation?.what).toBe(found);
});
