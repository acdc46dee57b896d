import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const RUN = fileURLToPath(new URL("../run.ts", import.meta.url));

async function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return await new Promise((resolve) => {
    execFile(process.execPath, [RUN, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe("the benchmark runner", () => {
  test.each([
    ["an unknown name", ["nonsense"], 'no benchmark "nonsense"'],
    ["a name that every object has", ["constructor"], 'no benchmark "constructor"'],
    ["no name", [], "which benchmark?"],
    ["two names", ["exec", "exec"], "one benchmark at a time"],
    ["an unknown option", ["exec", "--fast"], "--fast"],
  ])("refuses %s and lists the names", async (_what, args, message) => {
    const { code, stdout, stderr } = await bench(...args);
    expect(code).toBe(64);
    expect(stdout).toBe("");
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/NAME +exec/);
  });

  test("explains itself", async () => {
    const { code, stdout } = await bench("--help");
    expect(code).toBe(0);
    expect(stdout).toContain("--quick");
  });
});
