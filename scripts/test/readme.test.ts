import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { EXIT_CODE_MEANINGS } from "../../clients/cli/errors.ts";
import { stackPaths } from "../../clients/cli/stack/paths.ts";
import { stackProcesses } from "../../clients/cli/stack/processes.ts";
import { ROOT, TOOL_PATH } from "../run.ts";

/** These take minutes. `.ci/run` runs each of them, and their exit codes say whether they hold. */
const RUN_BY_CI: readonly string[] = ["npm run demo", "npm run check"];

/** What each other command of the README has to print. A command without a line here fails the test: nobody would see it lie. */
const EXPECTED: ReadonlyArray<readonly [command: string, output: RegExp]> = [
  ["npm start", /^up: http:\/\/127\.0\.0\.1:\d+$/m],
  ['npx leaf turn "Remember', /^OK$[\s\S]*^go on with: leaf turn --session \S+ /m],
  ["npx leaf turn --session", /^The secret word is pineapple\.$/m],
  ["npx leaf status", /^dispatcher +ok /m],
  ["curl", /"response":"The output:\\nLinux x86_64|"response":"The output:\\nLinux /],
  ["npx leaf submit", /^leaf_\w+$/m],
  ["npx leaf list --label batch=1", /Run: sleep 1; echo two[\s\S]*Run: sleep 1; echo one/],
  ["npx leaf ps", /^dispatcher +\d+ /m],
  ["npx leaf logs brain", /leaf claimed/],
  ["npx leaf down", /^stopped \d+ processes, none is left$/m],
];

const directory = mkdtempSync(join(tmpdir(), "leaf-readme-"));
const stateDirectory = join(directory, "state");
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
/** What was printed so far: later commands need ids and ports of earlier ones. */
let printed = "";

afterAll(async () => {
  await run(`npx leaf down --dir ${stateDirectory}`);
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

/** Run a line in the checkout, as a user types it, but for a state directory and a port of its own. */
function run(line: string): Promise<{ code: number; output: string }> {
  const env = { PATH: TOOL_PATH, HOME: process.env["HOME"], LEAF_DIR: stateDirectory, LEAF_PORT: "0" };
  return new Promise((resolve) => {
    execFile("bash", ["-c", line], { cwd: ROOT, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 128), output: `${stdout}${stderr}` });
    });
  });
}

/** The line with what a user would put in: the session that a command printed; and with this test's directory and port. */
function filledIn(line: string): string {
  const session = /--session (\S+) "\.\.\."/.exec(printed)?.[1] ?? "";
  const port = /^up: http:\/\/127\.0\.0\.1:(\d+)$/m.exec(printed)?.[1] ?? "";
  return line.replace("SESSION_ID", session).replace(".leaf/", `${stateDirectory}/`).replace(":7433", `:${port}`);
}

function commandsOf(markdown: string): string[] {
  const blocks = [...markdown.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "");
  return blocks.flatMap((block) => block.trim().split("\n"));
}

describe("the commands of the README", () => {
  test.each(RUN_BY_CI)("%s is one, and .ci/run runs it", (line) => {
    expect(commandsOf(readme)).toContain(line);
    expect(readFileSync(join(ROOT, ".ci/run"), "utf8").split("\n")).toContain(line);
  });

  test.each(commandsOf(readme).filter((line) => !RUN_BY_CI.includes(line)))(
    "%s",
    async (line) => {
      const expected = EXPECTED.find(([command]) => line.startsWith(command))?.[1];
      const { code, output } = await run(filledIn(line));
      printed += output;
      expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(expected ?? /^$/) });
    },
    120_000,
  );

  test("leave no process behind", () => {
    expect(stackProcesses(stackPaths(stateDirectory))).toEqual([]);
  });
});

describe("the words of the READMEs", () => {
  test("the versions of Node.js are those that set-up asks for and that the packages bring", () => {
    const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
    const least = /install Node\.js (\d+) or newer/.exec(read("scripts/setup.sh"))?.[1];
    const { engines, devDependencies } = JSON.parse(read("package.json")) as Record<"engines" | "devDependencies", { node: string }>;
    const runs = /^>=(\d+)$/.exec(engines.node)?.[1];
    expect(devDependencies.node.split(".")[0]).toBe(runs);
    expect(readme).toContain(`Node.js ${least} or newer with npm`);
    expect([...readme.matchAll(/Node\.js (\d+)\b(?! or newer)/g)].map(([, version]) => version)).toEqual([runs, runs]);
  });

  const pages = execFileSync("git", ["ls-files", "*.md"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
  test.each(pages)("every link of %s leads somewhere", (path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] ?? "");
    expect(links.filter((link) => !existsSync(join(ROOT, dirname(path), link)))).toEqual([]);
  });

  test("CONTRIBUTING.md calls scripts and names files that exist", () => {
    const text = readFileSync(join(ROOT, "CONTRIBUTING.md"), "utf8");
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: Record<string, string> };
    const called = [...text.matchAll(/npm run\s+(\w+)/g)].map((match) => match[1] ?? "");
    expect(called.filter((name) => scripts[name] === undefined)).toEqual([]);
    const files = [...text.matchAll(/(?<=[\s`])((?:[\w-]+\/)+[\w.-]+\.(?:ts|proto|md|binpb))/g)].map((match) => match[1] ?? "");
    expect(files.filter((file) => !existsSync(join(ROOT, file)) && !file.endsWith("/NAME.ts"))).toEqual([]);
    expect(called.length > 3 && files.length > 3).toBe(true);
  });

  test("the exit codes are those that the command has", () => {
    const text = readFileSync(join(ROOT, "clients/cli/README.md"), "utf8");
    const rows = [...text.matchAll(/^\| (\d+) +\| (.+?) +\|$/gm)].map(([, code, meaning]) => [code, meaning]);
    expect(rows).toEqual(Object.entries(EXIT_CODE_MEANINGS));
  });
});
