import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { locate } from "@serverless-harness/kit/paths/locate";
import { errnoOf } from "@serverless-harness/kit/paths/path-error";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { StalePlan } from "../../changes/changes.ts";
import { type Destination, Placement } from "../../files/placement.ts";
import { startSwapper } from "./swapper.ts";

test("thousands of placements land inside while a process swaps symlinks into the path", async () => {
  const base = await temporaryDirectory();
  const [workspace, outside, staging] = [join(base, "workspace"), join(base, "outside"), join(base, "staging")];
  await mkdir(staging);
  await startSwapper(workspace, outside);
  const naive = new Set<string>();
  let placed = 0;
  for (let i = 0; i < 2500; i++) {
    const path = i % 2 === 0 ? `directory/${i % 10}` : "inner/file";
    const staged = join(staging, String(i));
    writeFileSync(staged, "written");
    try {
      naive.add(readFileSync(join(workspace, "inner/file"), "utf8"));
      using location = locate([{ path: workspace }], path, { follow: true });
      if (location.parent === undefined || location.missing.length > 1) continue;
      await using placement = await Placement.prepare(location as Destination, staged, false);
      placement.commit();
      placed += 1;
    } catch (error) {
      const expected = error instanceof StalePlan || error instanceof HarnessError || errnoOf(error) === "ENOENT";
      if (!expected) throw error;
    }
  }
  expect(readdirSync(outside)).toEqual(["file"]);
  expect(readFileSync(join(outside, "file"), "utf8")).toBe("outside");
  expect(placed).toBeGreaterThan(100);
  expect(naive).toContain("outside");
});
