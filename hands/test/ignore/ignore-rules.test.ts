import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { IgnoreRules } from "../../ignore/ignore-rules.ts";

/** Files (as bytes) that patterns of the alphabet below have something to say about. */
const FILES = [
  "a",
  "b",
  "ab",
  "ba",
  "aab",
  "a.b",
  ".b",
  "-a",
  "a b",
  "a ",
  "#a",
  "!a",
  "a*",
  "[a]",
  "a\\b",
  "A",
  "1",
  "\xe9",
  "a\n",
].flatMap((name) => [name, `d/${name}`, `d/a.d/${name}`, `b.d/a/b/${name}`]);
const DIRECTORIES = ["", "d/", "d/a.d/", "b.d/a/"];

/** The files that git does not ignore. */
function gitKeeps(): string[] {
  const args = ["-c", "core.excludesFile=/dev/null", "ls-files", "--others", "--exclude-standard", "-z"];
  return execFileSync("git", args, { cwd: root, encoding: "latin1" }).split("\0").slice(0, -1);
}

/** The files that our rules do not ignore, nor a directory above them. */
function weKeep(files: readonly string[], contents: ReadonlyMap<string, string>): string[] {
  return files.filter((file) => {
    const names = file.split("/");
    let rules: IgnoreRules | undefined;
    return names.every((name, depth) => {
      const base = names
        .slice(0, depth)
        .map((n) => `${n}/`)
        .join("");
      rules = IgnoreRules.read(contents.get(base) ?? "", base, rules);
      return !rules?.ignores(base + name, name, depth < names.length - 1);
    });
  });
}

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "ignore-rules-"));
  execFileSync("git", ["init", "-q", root]);
  for (const file of FILES) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(Buffer.from(join(root, file), "latin1"), "");
  }
});
afterAll(() => rmSync(root, { recursive: true }));

beforeEach(() => {
  for (const directory of DIRECTORIES) writeFileSync(join(root, directory, ".gitignore"), "");
});

function compare(contents: ReadonlyMap<string, string>): void {
  for (const directory of DIRECTORIES) writeFileSync(join(root, directory, ".gitignore"), contents.get(directory) ?? "", "latin1");
  const files = [...FILES, ...DIRECTORIES.map((directory) => `${directory}.gitignore`)];
  expect(weKeep(files, contents).sort()).toEqual(gitKeeps().sort());
}

const piece = fc.constantFrom(
  ..."ab/*?[]!\\-.#^ 1\xe9",
  "**/",
  "/**",
  "[!a]",
  "[^b]",
  "[a-b]",
  "[[:alpha:]]",
  "[]a]",
  "\\ ",
  "d/",
  "a.d",
  "*.b",
);
const line = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(""));
const content = fc.array(line, { maxLength: 4 }).chain((lines) => fc.constantFrom("\n", "\r\n").map((end) => lines.join(end) + end));

test("any rules ignore exactly what git ignores by them", () => {
  fc.assert(
    fc.property(content, content, content, (top, middle, deep) => {
      compare(
        new Map([
          ["", top],
          ["d/", middle],
          ["d/a.d/", deep],
        ]),
      );
    }),
    { numRuns: 60 },
  );
});

test.each([
  ["*", "!a"],
  ["/*", "!/d", "/d/*", "!/d/a"],
  ["d/**/b"],
  ["**/a/**"],
  ["a**/b"],
  ["**"],
  ["!"],
  ["/"],
  ["#a", "\\#a", "\\!a"],
  ["a\\ ", "a "],
  ["a   "],
  ["\xef\xbb\xbfa"],
  ["[", "[a", "[]", "[[:nope:]]", "a\\"],
  ["[[:digit:][:upper:]]"],
  ["[a-]", "[!-a]*"],
  ["\\*", "*\\**"],
  ["a\0b"],
  ["\xe9"],
  ["d/a.d/", "!d/a.d/a"],
  ["?"],
  ["*/a"],
  ["**\\/b"],
])("the rules %j ignore what git ignores by them", (...lines) => {
  compare(new Map([["", lines.join("\n")]]));
  compare(new Map([["d/", `${lines.join("\n")}\n`]]));
});

test("patterns made to take for ever are decided at once, or refused", () => {
  const evil = IgnoreRules.read(`${"*a".repeat(100)}b\n/${"**/a".repeat(100)}b\n`, "", undefined);
  expect(evil?.ignores("a".repeat(255), "a".repeat(255), false)).toBe(false);
  const endless = IgnoreRules.read(`${"*?".repeat(2000)}b\n`.repeat(100), "", undefined);
  expect(() => endless?.ignores("a".repeat(255), "a".repeat(255), false)).toThrow(HarnessError);
});
