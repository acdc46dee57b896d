import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { processStartTicks } from "@serverless-harness/kit/proc";
import { afterAll, describe, expect, test } from "vitest";
import { processesNaming, signalProcess } from "../../clients/cli/stack/processes.ts";
import { ROOT, TOOL_PATH } from "../run.ts";

/** What each command of the page has to print. A command without a line here fails the test: nobody would see it lie. */
const EXPECTED: ReadonlyArray<readonly [command: string, output: RegExp]> = [
  ["npx leaf up --sandboxes 3", /^ {2}pool +s1, s2, s3$/m],
  ["npx leaf sandbox list", /^SANDBOX +STATE /m],
  ["npx leaf turn", /^go on with: leaf turn --session \S+ /m],
  ["npx leaf sandbox drain", /^s2 is drained$/m],
  ["npx leaf sandbox undrain", /^s2 takes sessions again$/m],
  ["npx leaf sandbox remove", /^removed s3$/m],
  ["npx leaf up --sandboxes 2", /^ {2}pool +s1, s2$/m],
  ["npx leaf token create", /: laptop of tenant default, for sandboxes:serve/],
  ["npx leaf sandbox join", /^laptop is a sandbox of /m],
];

const directory = mkdtempSync(join(tmpdir(), "leaf-sandboxes-page-"));
const stateDirectory = join(directory, "state");
const page = readFileSync(join(ROOT, "docs/sandboxes.md"), "utf8");
const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap((match) => (match[1] ?? "").trim().split("\n"));
/** What was printed so far: later commands need ids and ports of earlier ones. */
let printed = "";

afterAll(async () => {
  // npx started it, and does not pass such a signal on.
  for (const pid of processesNaming(join(directory, "laptop"))) {
    const startTicks = processStartTicks(pid);
    // What one of them started may have ended with it.
    if (startTicks !== undefined) signalProcess({ pid, startTicks }, "SIGKILL");
  }
  await text(start(`npx leaf down --dir ${stateDirectory}`).stdout);
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

/** Start a line in the checkout, as a user types it, but for a state directory, a port and a place of files of its own. */
function start(line: string) {
  const env = { PATH: TOOL_PATH, HOME: process.env["HOME"], LEAF_DIR: stateDirectory, LEAF_PORT: "0" };
  return spawn("bash", ["-c", `exec 2>&1; ${line}`], { cwd: ROOT, env, stdio: ["ignore", "pipe", "inherit"] });
}

/** The line with what a user would put in, and with this test's directory and port. */
function filledIn(line: string): string {
  const session = /--session (\S+) "\.\.\."/.exec(printed)?.[1] ?? "";
  const port = /^(?:up|already up): http:\/\/127\.0\.0\.1:(\d+)$/m.exec(printed)?.[1] ?? "";
  return line.replace("SESSION_ID", session).replaceAll(".leaf/", `${stateDirectory}/`).replace(":7433", `:${port}`);
}

/** All that a line prints, or as much as has what is expected if it goes on until Ctrl-C. */
async function run(line: string, expected: RegExp): Promise<string> {
  const isJoin = line.includes("sandbox join");
  const child = start(isJoin ? `exec ${filledIn(`${line} --dir ${directory}/laptop`)}` : filledIn(line));
  if (!isJoin) return await text(child.stdout);
  let said = "";
  for await (const piece of child.stdout.setEncoding("utf8")) {
    said += piece;
    if (expected.test(said)) break;
  }
  return said;
}

describe("the commands of the page about sandboxes, in its order", () => {
  test.each(commands)(
    "%s",
    async (line) => {
      const [, expected] = EXPECTED.find(([start]) => line.startsWith(start)) ?? [];
      expect(expected, `EXPECTED has no line for: ${line}`).toBeDefined();
      const output = await run(line, expected ?? /./);
      printed += output;
      // The secret alone goes to stdout, and so to the file.
      expect(output).toMatch(expected ?? /./);
    },
    60_000,
  );
});
