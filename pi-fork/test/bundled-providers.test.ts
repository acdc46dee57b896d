import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { PROVIDER_IDS } from "../models/providers.ts";

const run = promisify(execFile);
const BUNDLE = fileURLToPath(new URL("../../scripts/bundle/main.ts", import.meta.url));
const ASK = fileURLToPath(new URL("fixtures/ask-providers.ts", import.meta.url));

test("every provider of models is in a brain's bundle, with the API of each of its models", async () => {
  const directory = await mkdtemp(join(tmpdir(), "harness-bundle-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await run(process.execPath, [BUNDLE, "--output", directory, "brain"]);
  const { stdout } = await run(process.execPath, [ASK, join(directory, "brain"), ...PROVIDER_IDS]);
  const answers = stdout.trim().split("\n");
  expect(new Set(answers.map((line) => line.split(" ", 1)[0]))).toEqual(new Set(PROVIDER_IDS));
  // Nobody listens where they are asked; that is all that may be wrong, but for the one that takes nothing but a login.
  const wrong = answers.filter((answer) => !/Connection error|fetch failed|ECONNREFUSED/.test(answer));
  expect(wrong).toEqual([expect.stringMatching(/^openai-codex .*not configured/)]);
});
