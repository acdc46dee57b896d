import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { openDirectory } from "@serverless-harness/kit/paths/handle";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { walk } from "../../files/walk.ts";

const NAMES = ["a", "b", "ab", "b.c", "foo", "foob", "[", "a[", "[x]", "#x", "!x", "-a", "x y ", "\u00e9"];
const FILES = NAMES.flatMap((name) => [name, `d/${name}`, `d/e/${name}`, `foo.d/b/${name}`]);

/** Parts of patterns that mean something to files of these names, or something odd. */
const part = fc.oneof(
  fc.constantFrom(..."abde/*?[]!\\-.#^ \u00e9"),
  fc.constantFrom(
    "foo",
    "foo**",
    "**/",
    "/**",
    "**",
    "a[",
    "?[",
    "[!a]",
    "[^b]",
    "[a-b]",
    "[[:alpha:]]",
    "[]a]",
    "\\ ",
    "d/",
    "*.c",
    "\\#x",
  ),
);
const line = fc
  .tuple(fc.boolean(), fc.array(part, { minLength: 1, maxLength: 5 }))
  .map(([negated, parts]) => `${negated ? "!" : ""}${parts.join("")}`);
const ignoreFile = fc.array(line, { maxLength: 5 }).map((lines) => lines.join("\n"));

test("a walk leaves out what git check-ignore names, whatever the rules at three depths", async () => {
  const directory = await temporaryDirectory();
  for (const file of FILES) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), "");
  }
  const git = (args: readonly string[], input = ""): string[] => {
    const config = ["-c", "core.excludesFile=/dev/null"];
    try {
      return execFileSync("git", [...config, ...args], { cwd: directory, input, encoding: "utf8" })
        .split("\0")
        .filter(Boolean);
    } catch (error) {
      // It names nothing.
      if ((error as { status?: number }).status === 1) return [];
      throw error;
    }
  };
  git(["init", "--quiet"]);
  const all = [...FILES, ".gitignore", "d/.gitignore", "d/e/.gitignore"];
  await fc.assert(
    fc.asyncProperty(ignoreFile, ignoreFile, ignoreFile, async (top, middle, deep) => {
      for (const [at, content] of [
        [".", top],
        ["d", middle],
        ["d/e", deep],
      ] as const)
        writeFileSync(join(directory, at, ".gitignore"), content);
      const ignored = new Set(git(["check-ignore", "--no-index", "-z", "--stdin"], all.map((file) => `${file}\0`).join("")));
      const expected = all.filter((file) => !ignored.has(file));
      const found: string[] = [];
      using start = openDirectory(directory);
      for await (const { path, kind } of walk(start, { base: "", ignore: { rules: undefined }, checkpoint: () => undefined })) {
        if (kind === "file") found.push(path.join("/"));
      }
      const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));
      expect(found).toEqual(expected.sort(byBytes));
    }),
    { numRuns: 200 },
  );
});
