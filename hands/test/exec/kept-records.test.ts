import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { keeperFiles } from "../../process/keeper/files.ts";
import { KeeperLauncher } from "../../process/keeper/launcher.ts";
import type { Launcher, RunningProcess } from "../../process/launcher.ts";
import { run, startSandbox } from "../fixtures/sandbox.ts";

/** The collector, which Node shows to nobody who does not ask. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

test("of an exec that has ended a record is kept, and nothing of what ran it", async () => {
  const keeper = new KeeperLauncher(keeperFiles());
  const started: Array<WeakRef<RunningProcess>> = [];
  const launcher: Launcher = {
    start: (spec, sink) => {
      const running = keeper.start(spec, sink);
      started.push(new WeakRef(running));
      return running;
    },
    close: () => keeper.close(),
  };
  const sandbox = await startSandbox({ launcher });
  for (const text of ["one", "two", "three"]) expect((await run(sandbox, `echo ${text}`)).stdout).toBe(`${text}\n`);
  expect(started).toHaveLength(3);
  const collect = collector();
  while (started.some((each) => each.deref() !== undefined)) {
    // Whoever was looked at lives on until the turn is over.
    await turn();
    collect();
  }
  // Its record is still there.
  expect((await run(sandbox, "true")).ended.exitCode).toBe(0);
});
