import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { programOf } from "../stack/programs.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "leaf-programs-"));
  for (const part of ["brain", "dispatcher", "kit", "pi-fork", "proto", "session", "hands/client"]) write(`${part}/index.ts`, 1000);
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, seconds: number): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), "");
  utimesSync(join(root, path), seconds, seconds);
}

test("without a bundle, the sources are started", () => {
  expect(programOf(root, "dispatcher")).toBe("dispatcher/main.ts");
});

test("a bundle is started while it is newer than every source that it was made of", () => {
  write("dist/dispatcher/main.mjs", 2000);
  expect(programOf(root, "dispatcher")).toBe("dist/dispatcher/main.mjs");
});

test("a source that changed since is started itself, so that nobody runs yesterday's code", () => {
  write("dist/dispatcher/main.mjs", 2000);
  write("session/redis/scripts/claim.lua", 3000);
  expect(programOf(root, "dispatcher")).toBe("dispatcher/main.ts");
});

test("a test that changed since changes nothing", () => {
  write("dist/dispatcher/main.mjs", 2000);
  write("session/test/some.test.ts", 3000);
  expect(programOf(root, "dispatcher")).toBe("dist/dispatcher/main.mjs");
});
