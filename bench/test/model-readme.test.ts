import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { converse, startModel } from "./model-process.ts";

const README = new URL("../../kit/stand-in-model/README.md", import.meta.url);

test("every script in the README runs to the end of its steps, or to the failure that it asks for", async () => {
  const { client, requests } = await startModel();
  const sources = [...(await readFile(README, "utf8")).matchAll(/^```script\n([\s\S]*?)^```/gm)].map((match) => match[1] ?? "");
  expect(sources.length).toBeGreaterThan(5);
  for (const source of sources) {
    const steps: Array<{ fail?: { times?: number }; cut?: { times?: number }; tools?: unknown }> = JSON.parse(source).steps;
    const times = steps.map(
      ({ fail, cut }) => (fail ?? cut)?.times ?? (fail === undefined && cut === undefined ? 0 : Number.POSITIVE_INFINITY),
    );
    const prompt = `\`\`\`script\n${source}\`\`\``;
    const failures = Math.max(...times);
    for (let i = 0; i < Math.min(failures, 2); i++) await expect(converse(client, prompt), source).rejects.toThrow();
    if (failures > 2) continue;
    const { answers } = await converse(client, prompt);
    expect(answers.length, source).toBe(steps.length);
  }
  const seen = await requests();
  expect(seen.every((request) => request.step.startsWith("script ") && request.step !== "script over")).toBe(true);
});

test("the README names every key of a step", async () => {
  const readme = await readFile(README, "utf8");
  const source = await readFile(new URL("../../kit/stand-in-model/script.ts", import.meta.url), "utf8");
  const keys = /STEP_KEYS = \[([\s\S]*?)\]/.exec(source)?.[1]?.match(/[a-z_]+/g) ?? [];
  expect(keys.length).toBeGreaterThan(8);
  for (const key of keys) expect(readme).toContain(`\`${key}\``);
});
