import { expect, test } from "vitest";
import { compileGlob, expandBraces, matchesGlob, nameFilter } from "../../files/glob.ts";

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
