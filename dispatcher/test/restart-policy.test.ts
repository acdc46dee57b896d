import { describe, expect, test } from "vitest";
import { type BrainExit, RestartPolicy } from "../waker/restart-policy.ts";

const BOUNDS = { baseMs: 100, maxMs: 3000, random: () => 1 };
const crash: BrainExit = { clean: false, note: "killed by SIGKILL", livedMs: 300 };
const end: BrainExit = { clean: true, note: "exited with code 0", livedMs: 300 };

function delays(policy: RestartPolicy, exits: ReadonlyArray<readonly [BrainExit, boolean]>): number[] {
  return exits.map(([exit, workLeft]) => policy.delayAfter(exit, workLeft));
}

describe("the wait before the next brain", () => {
  test("doubles with every crash, up to its bound", () => {
    const exits = Array.from({ length: 7 }, () => [crash, true] as const);
    expect(delays(new RestartPolicy(BOUNDS), exits)).toEqual([100, 200, 400, 800, 1600, 3000, 3000]);
  });

  test("is a random part of that, so that nothing comes back in step", () => {
    const policy = new RestartPolicy({ baseMs: 100, maxMs: 100, random: () => 0.25 });
    expect(policy.delayAfter(crash, true)).toBe(25);
  });

  test("begins anew behind a brain that ended cleanly", () => {
    expect(
      delays(new RestartPolicy(BOUNDS), [
        [crash, true],
        [crash, true],
        [end, false],
        [crash, true],
      ]),
    ).toEqual([100, 200, 0, 100]);
  });

  test("begins anew behind a brain that lived long, even if it crashed then", () => {
    const late = { ...crash, livedMs: 10_000 };
    expect(
      delays(new RestartPolicy(BOUNDS), [
        [crash, true],
        [crash, true],
        [late, true],
        [crash, true],
      ]),
    ).toEqual([100, 200, 100, 200]);
  });

  test("is none where work arrived while a brain ended", () => {
    expect(
      delays(new RestartPolicy(BOUNDS), [
        [end, true],
        [end, false],
        [end, true],
        [end, true],
      ]),
    ).toEqual([0, 0, 0, 0]);
  });

  test("grows where brains end cleanly and leave the work", () => {
    const exits = Array.from({ length: 6 }, () => [end, true] as const);
    expect(delays(new RestartPolicy(BOUNDS), exits)).toEqual([0, 0, 0, 100, 200, 400]);
  });
});
