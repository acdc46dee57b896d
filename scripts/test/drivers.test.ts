import { execFile } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { describe, expect, test } from "vitest";
import { ROOT } from "../run.ts";

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; uid?: number } = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd: ROOT, ...options }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 128), stdout, stderr });
    });
  });
}

describe("npm test", () => {
  /** Run the driver on tests of their own; `files` by name. */
  async function runTests(files: Readonly<Record<string, string>>): Promise<{ code: number; lastLine: string | undefined }> {
    const root = await temporaryDirectory();
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
    const { code, stdout } = await run(process.execPath, [join(ROOT, "scripts/test.ts"), "--root", root, "--globals"]);
    return { code, lastLine: stdout.trimEnd().split("\n").at(-1) };
  }

  test("counts what passed, and ends with 0 where nothing failed", async () => {
    const found = await runTests({ "a.test.js": "test('one', () => {}); test('two', () => {});" });
    expect(found).toEqual({ code: 0, lastLine: "2 passed, 0 failed" });
  });

  test("counts what failed, a file that can't be loaded included", async () => {
    const found = await runTests({
      "a.test.js": "test('one', () => {}); test('two', () => { throw new Error('no'); });",
      "b.test.js": "}{",
    });
    expect(found).toEqual({ code: 1, lastLine: "1 passed, 2 failed" });
  });

  test("does not succeed where no test ran", async () => {
    expect((await runTests({ "a.js": "" })).code).toBe(1);
  });
});

describe("set-up", () => {
  /** A checkout that has what set-up looks at, and nothing else. */
  async function emptyCheckout(): Promise<string> {
    const root = await temporaryDirectory();
    chmodSync(root, 0o755);
    mkdirSync(join(root, "scripts"));
    copyFileSync(join(ROOT, "scripts/setup.sh"), join(root, "scripts/setup.sh"));
    copyFileSync(join(ROOT, "scripts/packages.sh"), join(root, "scripts/packages.sh"));
    return root;
  }

  test("is silent where nothing is missing, from any directory", async () => {
    const found = await run("sh", [join(ROOT, "scripts/setup.sh")], { cwd: "/" });
    expect(found).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("names the one line that installs what is missing, where it may not do so itself", async () => {
    const root = await emptyCheckout();
    const tools = join(root, "tools");
    mkdirSync(tools);
    for (const tool of ["sh", "dirname", "id", "env", "apt-get"]) symlinkSync(`/usr/bin/${tool}`, join(tools, tool));
    const nobody = process.getuid?.() === 0 ? { uid: 65534 } : {};
    const found = await run("/bin/sh", [join(root, "scripts/setup.sh")], { env: { PATH: tools }, ...nobody });
    expect(found).toMatchObject({ code: 1, stdout: "" });
    const needs = [...readFileSync(join(ROOT, "scripts/setup.sh"), "utf8").matchAll(/^need(?:_header)? (\S+) (\S+)$/gm)];
    // Programs for administrators are found beside the others, whatever PATH is.
    const needed = needs.filter(([, program = ""]) => !existsSync(join("/usr/sbin", program))).map((match) => match[2]);
    expect(needed).toEqual(expect.arrayContaining(["redis-server", "bubblewrap", "ripgrep", "git"]));
    expect(found.stderr).toContain(`sudo apt-get install -y --no-install-recommends ${needed.join(" ")}\n`);
  });

  test("installs the npm packages of the lock file where they are missing, and fails where they bring no Node", async () => {
    const root = await emptyCheckout();
    const manifest = { name: "empty", version: "1.0.0" };
    writeFileSync(join(root, "package.json"), JSON.stringify(manifest));
    writeFileSync(join(root, "package-lock.json"), JSON.stringify({ ...manifest, lockfileVersion: 3, packages: { "": manifest } }));
    const found = await run("sh", [join(root, "scripts/setup.sh")]);
    expect(found.code).toBe(1);
    expect(found.stderr).toContain("setup: installing the npm packages of package-lock.json");
    expect(found.stderr).toContain('the npm package "node" brought no program');
  });
});
