import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { openDirectory } from "@serverless-harness/kit/paths/handle";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileGlob, expandBraces, matchesGlob } from "../../files/glob.ts";
import { nameFilter } from "../../files/name-filter.ts";
import { compareUtf8 } from "../../files/order.ts";
import { walk } from "../../files/walk.ts";

const FILES = ["a", "b.c", "ab", "#x", "!x", "[x]", "d/a", "d/b.c", "d/e/a", "d/e/ab", "d/e/f/a", "e/a", "e/d/a", "e/ab/a", "x y ", "-a"];

/** Lines that mean something to files of these names, and lines that mean something odd. */
const line = fc.oneof(
  fc.constantFrom(
    "a",
    "/a",
    "d/",
    "d",
    "*",
    "**",
    "d/a",
    "/d/e",
    "**/a",
    "d/**",
    "d/**/a",
    "e/**/",
    "*.c",
    "?",
    "[ab]",
    "[!a]*",
    "[a",
    "\\#x",
    "#x",
  ),
  fc.constantFrom(
    "\\!x",
    "\\[x\\]",
    "[[]x]",
    "x y\\ ",
    "x y ",
    "a ",
    "d/*",
    "/*",
    "*/a",
    "**/e/**",

    "",
    "/",
    "!",
    "!/",
    "**/**",
    "-a",
    "a\\",
  ),
  fc
    .array(fc.constantFrom("a", "b", "d", "e", "/", "*", "**", "?", "!", "."), { minLength: 1, maxLength: 6 })
    .map((parts) => parts.join(""))
    // Where two asterisks touch something else than a slash, git does not do as gitignore(5) says.
    .filter((text) => !/[^/]\*\*|\*\*[^/]/.test(text)),
);
const negatable = fc.tuple(fc.boolean(), line).map(([negated, text]) => (negated ? `!${text}` : text));
const ignoreFile = fc.array(negatable, { maxLength: 5 }).map((lines) => lines.join("\n"));

test("what is walked is what git does not ignore, whatever the rules at three depths", async () => {
  const directory = await temporaryDirectory();
  for (const file of FILES) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), "");
  }
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "core.excludesFile=/dev/null", ...args], { cwd: directory, encoding: "utf8" });
  git("init", "--quiet");
  await fc.assert(
    fc.asyncProperty(ignoreFile, ignoreFile, ignoreFile, async (top, middle, deep) => {
      for (const [at, content] of [
        [".", top],
        ["d", middle],
        ["d/e", deep],
      ] as const)
        writeFileSync(join(directory, at, ".gitignore"), content);
      const expected = git("ls-files", "-z", "--others", "--exclude-standard").split("\0").filter(Boolean);
      const found: string[] = [];
      using start = openDirectory(directory);
      for await (const { path, kind } of walk(start, { base: [], ignore: { rules: undefined }, checkpoint: () => undefined })) {
        if (kind === "file") found.push(path.join("/"));
      }
      expect(found).toEqual(expected.sort(compareUtf8));
    }),
    { numRuns: 100, seed: 20_260 },
  );
});

const matches = (glob: string, path: string): boolean => matchesGlob(compileGlob(glob), path.split("/"));

test("globs match as documented", () => {
  for (const [glob, path] of [
    ["*.ts", ".ts"],
    ["**/x", "x"],
    ["**/x", "a/b/x"],
    ["a/**/x", "a/x"],
    ["a/**", "a/b/c"],
    ["[!a-c]?", "dé"],
    ["\\*", "*"],
    ["[]-]", "-"],
    ["?", "\u{1f600}"],
  ]) {
    expect([glob, path, matches(glob ?? "", path ?? "")]).toEqual([glob, path, true]);
  }
  for (const [glob, path] of [
    ["*.ts", "a/b.ts"],
    ["a/**", "a"],
    ["*", "a/b"],
    ["\\*", "x"],
    ["[!a]", "a"],
    ["a?", "a"],
    ["**/x/y", "x/z/y"],
  ]) {
    expect([glob, path, matches(glob ?? "", path ?? "")]).toEqual([glob, path, false]);
  }
});

test("braces stand for their alternatives, nested ones too, and for themselves where they are not alternatives", () => {
  expect(expandBraces("*.{ts,js{x,}}", 10)?.sort()).toEqual(["*.js", "*.jsx", "*.ts"]);
  expect(expandBraces("{a}{b,c", 10)).toEqual(["{a}{b,c"]);
  expect(expandBraces("\\{a,b\\}", 10)).toEqual(["\\{a,b\\}"]);
  expect(expandBraces("{a,b}{a,b}{a,b}{a,b}", 10)).toBeUndefined();
});

test("a filter that begins with a slash or a dot and a slash is one of the path", () => {
  for (const glob of ["/a.ts", "./a.ts"]) {
    expect(nameFilter("glob", glob)(["a.ts"], false)).toBe(true);
    expect(nameFilter("glob", glob)(["b", "a.ts"], false)).toBe(false);
  }
});

test("a pattern made to be slow is matched in no time", () => {
  // With a backtracking matcher, each of these takes longer than the universe is old.
  expect(matches(`${"*a".repeat(100)}b`, "a".repeat(255))).toBe(false);
  expect(matches(`${"**/a/".repeat(50)}b`, Array(200).fill("a").join("/"))).toBe(false);
});

test("texts are ordered as their bytes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});
