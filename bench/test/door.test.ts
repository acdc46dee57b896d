import { expect, onTestFinished, test } from "vitest";
import { memoryOf } from "../density/memory.ts";
import { watcherDelays } from "../door/delays.ts";
import { Door } from "../door/door.ts";

/** What a dispatcher with a thousand watchers may take at most, in millions of bytes. */
const MAX_MB = 250;

test("a thousand watchers of a hundred leaves fit into 250 MB of the dispatcher, while events come and before", async () => {
  const door = await Door.open();
  onTestFinished(() => door[Symbol.asyncDispose]());
  await door.startLeaves(100);
  await door.startWatchers(1000);
  expect(memoryOf(door.dispatcherPid).rss).toBeLessThan(MAX_MB);
  expect(await watcherDelays(door, 1)).toHaveLength(1000);
  expect(memoryOf(door.dispatcherPid).rss).toBeLessThan(MAX_MB);
});
