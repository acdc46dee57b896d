import { execFile } from "node:child_process";
import { mkdir, readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { scripted } from "@serverless-harness/pi-fork/testing";
import { expect, test } from "vitest";
import { machines, resident } from "../../../brain/test/fixtures/stack.ts";
import { runDispatcher } from "../process.ts";
import { ask, verdict } from "./runs.ts";

const house = resident(machines());

/** What each command has to print; one without a line here fails the test. */
const EXPECTED: ReadonlyArray<readonly [command: string, output: RegExp]> = [
  ["BASE=", /^$/],
  ['/turn"', /"response":"OK","stopReason":"stop"/],
  ['i1", "item": {"item_id": "i1", "file": "risky.py"', /^\{"status":"done","verdict":\{"item_id":"i1","verdict":"FLAGGED"/],
  ['i1", "item": {"item_id": "i1", "file": "safe.py"', /^\{"status":"done","verdict":\{"item_id":"i1","verdict":"FLAGGED"/],
  ["nightly/i2", /^\{"status":"accepted","sessionId":"nightly\/i2"\}/],
  ["status?sessionId=nightly/i1", /^\{"status":"done"/],
  ['"decision"', /^\{"status":"done"/],
  ["nightly/i3", /^\{"status":"paused","gateId":0/],
  ["mkdir", /^$/],
  ["printf", /^$/],
  ['/runs" -d \'{"sessionId": "nightly/i4"', /^\{"status":"done","resultRef":".*i4\.result"\}/],
  ["cat", /^\{"item_id":"i1","verdict":"FLAGGED","reason":"it is so"\}$/],
];

/** Stand for the two patterns of the page: what the model then does. */
const PATTERNS = { '"eval("': JSON.stringify(scripted(verdict())), '"subprocess"': JSON.stringify(scripted(ask(), verdict())) };

test("the commands of docs/migrate-from-the-seed.md do what it says", async () => {
  const directory = await realpath(await temporaryDirectory());
  const work = join(directory, "work");
  await mkdir(work);
  const opened = { url: house.stack.storeUrl, directory };
  const { origin } = await runDispatcher(opened, { LEAF_COMPAT: "seed", DISPATCHER_WAKER: "none", LEAF_WORK_DIR: work });
  const page = await readFile(new URL("../../../docs/migrate-from-the-seed.md", import.meta.url), "utf8");
  const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap((match) => (match[1] ?? "").trim().split("\n"));
  const env = { PATH: process.env["PATH"], BASE: origin, WORK: work };
  for (const command of commands) {
    const expected = EXPECTED.find(([part]) => command.includes(part))?.[1] ?? expect.fail(`nobody knows what this prints: ${command}`);
    const line = Object.entries(PATTERNS).reduce((text, [pattern, script]) => text.replace(pattern, () => script), command);
    const run = line.startsWith("BASE=") ? "true" : line;
    const output = await new Promise<string>((resolve) => execFile("bash", ["-c", run], { env }, (_error, stdout) => resolve(stdout)));
    expect([command, output.trim()]).toEqual([command, expect.stringMatching(expected)]);
  }
});

test("docs/migrate-from-the-seed.md names every setting of the seed that stands for one of ours", async () => {
  const page = await readFile(new URL("../../../docs/migrate-from-the-seed.md", import.meta.url), "utf8");
  const code = await readFile(new URL("../../seed-api/config.ts", import.meta.url), "utf8");
  const names = [...code.matchAll(/env\["([A-Z_]+)"\]/g)].map((match) => match[1] ?? "").filter((name) => name !== "LEAF_MODEL");
  expect(names.length).toBeGreaterThan(5);
  for (const name of names) expect(page).toContain(`\`${name}`);
});
