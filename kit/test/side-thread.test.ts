import { expect, test } from "vitest";
import { SideThread } from "../side-thread.ts";
import type { SideTasks } from "./fixtures/side-tasks.ts";

const thread = () => new SideThread<SideTasks>(new URL("./fixtures/side-tasks.ts", import.meta.url));
const ENDLESS = ["^(a+)+$", `${"a".repeat(60)}!`] as const;

test("work in a side thread is done in order, and its errors are told", async () => {
  const side = thread();
  const [first, failed, last] = await Promise.allSettled([side.run("double", 1), side.run("fail"), side.run("double", 2)]);
  expect(first).toMatchObject({ value: { value: 2 } });
  expect(failed).toMatchObject({ reason: { message: "as it was told" } });
  expect(last).toMatchObject({ value: { value: 4 } });
});

test("work that comes to no end is ended, while the process goes on and what waits behind it is done", async () => {
  const side = thread();
  let turns = 0;
  const turning = setInterval(() => turns++, 1);
  const endless = side.run("matches", ...ENDLESS).then((result) => ({ result, turns }));
  const behind = side.run("double", 3);
  const ended = await endless;
  clearInterval(turning);
  expect(ended.result).toBeUndefined();
  expect(ended.turns).toBeGreaterThan(0);
  expect(await behind).toEqual({ value: 6 });
});

test("work that takes all memory is ended, and the process lives", async () => {
  const side = thread();
  expect(await side.run("fill")).toBeUndefined();
  expect(await side.run("double", 4)).toEqual({ value: 8 });
});

test("more work than is done in time is refused", async () => {
  const side = thread();
  const endless = side.run("matches", ...ENDLESS);
  const waiting = Array.from({ length: 200 }, (_, index) => side.run("double", index));
  await expect(side.run("double", 5)).rejects.toMatchObject({ reason: "busy" });
  await endless;
  expect((await Promise.all(waiting)).at(-1)).toEqual({ value: 398 });
});
