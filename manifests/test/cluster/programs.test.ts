import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { inputsHash, MODULES } from "../../cluster/programs.ts";

const SOURCES = join(import.meta.dirname, "..", "..", "cluster", "modules");
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "leaf-modules-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("the same module and Go give the same hash, wherever the checkout is", () => {
  cpSync(join(SOURCES, "netpol"), directory, { recursive: true });
  expect(inputsHash(directory, "go1.26.8 linux amd64")).toBe(inputsHash(join(SOURCES, "netpol"), "go1.26.8 linux amd64"));
});

test("another version of Go or another platform gives another hash", () => {
  const hashes = ["go1.26.8 linux amd64", "go1.26.9 linux amd64", "go1.26.8 linux arm64"].map((go) =>
    inputsHash(join(SOURCES, "probe"), go),
  );
  expect(new Set(hashes).size).toBe(3);
});

test.each(["go.mod", "go.sum", "main.go"])("a change of %s gives another hash", (file) => {
  cpSync(join(SOURCES, "coredns"), directory, { recursive: true });
  const before = inputsHash(directory, "go");
  writeFileSync(join(directory, file), "\n", { flag: "a" });
  expect(inputsHash(directory, "go")).not.toBe(before);
});

test("text that moves from one file's end to the next one's start gives another hash", () => {
  const hashOf = (first: string, second: string): string => {
    writeFileSync(join(directory, "a"), first);
    writeFileSync(join(directory, "b"), second);
    return inputsHash(directory, "go");
  };
  writeFileSync(join(directory, "go.mod"), "module x\n");
  expect(hashOf("one", "two")).not.toBe(hashOf("onet", "wo"));
});

test("every module is there, with a hash of its own", () => {
  const names = Object.keys(MODULES);
  expect(new Set(names.map((name) => inputsHash(join(SOURCES, name), "go"))).size).toBe(names.length);
});
