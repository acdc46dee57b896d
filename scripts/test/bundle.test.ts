import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../run.ts";

let output: string;

beforeEach(() => {
  output = mkdtempSync(join(tmpdir(), "leaf-bundle-"));
});
afterEach(() => rmSync(output, { recursive: true }));

test("each service is bundled to a program that starts far from the sources, and says which settings it lacks", async () => {
  const bundled = await run(process.execPath, ["scripts/bundle/main.ts", "--output", output]);
  expect(bundled).toMatchObject({ code: 0 });
  for (const service of ["brain", "dispatcher"]) {
    const started = await run(process.execPath, [join(output, service, "main.mjs")]);
    expect(started.output).toContain("LEAF_STORE is not set");
    expect(started.code).toBe(64);
  }
});

test("what sources read beside themselves comes along", async () => {
  await run(process.execPath, ["scripts/bundle/main.ts", "--output", output, "brain"]);
  const assets = await run("find", [join(output, "brain/assets"), "-type", "f"]);
  expect(assets.output).toContain("assets/session/redis/scripts/claim.lua");
  expect(assets.output).toContain("assets/pi-fork/sessions/redis/scripts/commit.lua");
  expect(assets.output).toMatch(/assets\/packages\/@earendil-works\/.*\.sql/);
});

test("an unknown service is refused with the names of those that there are", async () => {
  const refused = await run(process.execPath, ["scripts/bundle/main.ts", "--output", output, "brian"]);
  expect(refused).toEqual({ code: 64, output: "bundle: unknown service brian; there are brain, dispatcher, hands, leaf, model\n" });
});
