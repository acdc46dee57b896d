import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { runDispatcher } from "./process.ts";
import { newStore, TOKEN } from "./support.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The examples under a heading of the README, as one script: they build on each other. */
async function scriptUnder(heading: string): Promise<string> {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const section = readme.split(`\n### ${heading}\n`)[1]?.split("\n### ")[0] ?? "";
  const examples = [...section.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => match[1] ?? "");
  return examples.join("\necho ----\n");
}

test("the examples of the README run as they are written: curl submits, curl follows the events, buf curl asks", async () => {
  const { origin } = await runDispatcher(await newStore());
  const path = [join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(delimiter);
  const env = { ...process.env, PATH: path, LEAF_URL: origin, LEAF_TOKEN: TOKEN };
  const { stdout, stderr } = await promisify(execFile)("bash", ["--norc", "-euo", "pipefail", "-c", await scriptUnder("From a shell")], {
    env,
  });
  expect(stderr).toBe("");
  const [submitted = "", followed = "", asked = "", ...more] = stdout.split("----\n");
  expect(more).toEqual([]);
  expect(submitted).toMatch(/^leaf_\w+\n$/);
  expect(followed).toMatch(/^retry: \d+\n\nid: 1\nevent: stateChanged\ndata: \{[^\n]*\}\n\n/);
  expect(followed).toContain(`"leafId":"${submitted.trim()}"`);
  expect(followed).toMatch(/\nevent: end\ndata: \{"reason":"leaf_over","afterSeq":"\d+"\}\n\n$/);
  expect(JSON.parse(asked)).toMatchObject({ leaf: { leafId: submitted.trim(), state: "LEAF_STATE_DONE", result: { text: "hello" } } });
});
