import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bundleOf, PROGRAMS, staleBundles } from "../stack/programs.ts";
import { LEAF, runProgram } from "./leaf.ts";

const ROOMS = ["brain", "dispatcher", "kit", "pi-fork", "proto", "session", "hands/client"];

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "leaf-programs-"));
  for (const part of ROOMS) write(`${part}/index.ts`, 1000);
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, seconds: number, text = ""): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  utimesSync(join(root, path), seconds, seconds);
}

function bundleAll(seconds: number): void {
  for (const program of PROGRAMS) write(bundleOf(program), seconds);
}

test("without a bundle, every program has to be bundled", () => {
  expect(staleBundles(root)).toEqual(PROGRAMS);
});

test("a bundle is used while it is newer than every source that it was made of", () => {
  bundleAll(2000);
  expect(staleBundles(root)).toEqual([]);
});

test("the bundles of a source that changed since are stale, so that nobody runs yesterday's code", () => {
  bundleAll(2000);
  write("session/redis/scripts/claim.lua", 3000);
  expect(staleBundles(root)).toEqual(["brain", "dispatcher"]);
});

test("a test or a text for people that changed since changes nothing", () => {
  bundleAll(2000);
  write("session/test/some.test.ts", 3000);
  write("session/README.md", 3000);
  expect(staleBundles(root)).toEqual([]);
});

test("the command runs its bundle while that is newer than its sources, and its sources otherwise", async () => {
  write("clients/cli/main.ts", 1000, 'console.log("sources");');
  for (const file of ["bin/leaf.mjs", "stack/programs.ts"]) {
    write(`clients/cli/${file}`, 1000);
    copyFileSync(join(LEAF, "../..", file), join(root, "clients/cli", file));
    utimesSync(join(root, "clients/cli", file), 1000, 1000);
  }
  const said = async (): Promise<string> => (await runProgram(process.execPath, [join(root, "clients/cli/bin/leaf.mjs")], {})).stdout;
  expect(await said()).toBe("sources\n");
  write(bundleOf("leaf"), 2000, 'console.log("bundle");');
  expect(await said()).toBe("bundle\n");
  write("kit/index.ts", 3000);
  expect(await said()).toBe("sources\n");
});
