import { HarnessError } from "@serverless-harness/kit/errors";
import { applyPatch } from "diff";
import fc from "fast-check";
import { expect, test } from "vitest";
import { editText } from "../../files/edit-text.ts";
import { describeChange } from "../../files/patch.ts";

const replace = (text: string, ...edits: Array<[string, string]>): string =>
  editText(
    text,
    edits.map(([oldText, newText]) => ({ oldText, newText })),
  );

function reason(text: string, ...edits: Array<[string, string]>): string {
  try {
    replace(text, ...edits);
    return "ok";
  } catch (error) {
    return error instanceof HarnessError ? error.reason : String(error);
  }
}

test("line endings match either way, and new lines get the file's own", () => {
  expect(replace("a\r\nb\r\nc\r\n", ["a\nb", "x\ny\nz"])).toBe("x\r\ny\r\nz\r\nc\r\n");
  expect(replace("a\nb\nc\n", ["a\r\nb", "x\r\ny"])).toBe("x\ny\nc\n");
  expect(replace("a\r\nb", ["\nb", "\nc"])).toBe("a\r\nc");
  expect(replace("a\r\nb", ["a\n", ""])).toBe("b");
  expect(replace("one", ["one", "1\r\n2"])).toBe("1\r\n2");
});

test("what is not replaced stays byte for byte, mixed line endings and lone carriage returns too", () => {
  expect(replace("a\r\nb\nc\r\nd\re\r\n", ["c", "C"])).toBe("a\r\nb\nC\r\nd\re\r\n");
  expect(replace("x\t \r\ny  \nz", ["y", "Y"])).toBe("x\t \r\nY  \nz");
});

test("a byte order mark is neither matched nor lost", () => {
  expect(replace("\ufeffa\n", ["a", "b"])).toBe("\ufeffb\n");
});

test("texts that differ in white space at line ends, quotes, dashes and spaces are found where nothing else matches", () => {
  expect(replace("if (a)  \n  b();\t\nend\n", ["if (a)\n  b();\nend", "x"])).toBe("x\n");
  expect(replace("say “hello” — it’s\u00a0fine", [`say "hello" - it's fine`, "ok"])).toBe("ok");
  expect(replace('say "hello" - now', ["say “hello” – now", "ok"])).toBe("ok");
  expect(replace("a\nb\n", ["a  \nb", "x"])).toBe("x\n");
});

test("an exact match comes first, and what is found with tolerance must be the only one as well", () => {
  expect(replace('“a” "a"', ['"a"', "x"])).toBe("“a” x");
  expect(reason("“a” “a”", ['"a"', "x"])).toBe("ambiguous_match");
  expect(reason("aaa", ["aa", "x"])).toBe("ambiguous_match");
});

test("tolerance finds no text that isn't there", () => {
  expect(reason("foobar", ["foo ", "x"])).toBe("no_match");
  expect(reason("a b", ["  \n ", "x"])).toBe("no_match");
  expect(reason("  indented", ["indented\n  more", "x"])).toBe("no_match");
  expect(reason("", ["a", "b"])).toBe("no_match");
});

test("edits that touch are fine, those that overlap are refused", () => {
  expect(replace("abcd", ["ab", "1"], ["cd", "2"])).toBe("12");
  expect(replace("abcd", ["cd", "2"], ["ab", "1"])).toBe("12");
  expect(reason("abcd", ["abc", "1"], ["cd", "2"])).toBe("overlapping_edits");
});

test("replacements are plain text: no pattern of a replace function means anything", () => {
  expect(replace("a.b", ["a.b", "$& $1 $$ \\n"])).toBe("$& $1 $$ \\n");
});

const line = fc.stringMatching(/^[ab\t ]{0,4}$/);
const text = fc.array(fc.tuple(line, fc.constantFrom("\n", "\r\n")), { maxLength: 12 }).map((lines) => lines.flat().join(""));

test("every edit that succeeds is the plain replacement, whatever the text", () => {
  fc.assert(
    fc.property(text, fc.nat(), fc.nat(), fc.string({ maxLength: 5 }), (original, from, length, newText) => {
      const start = from % (original.length + 1);
      const oldText = original.slice(start, start + 1 + (length % 6));
      if (oldText === "" || /\r|\n/.test(oldText + newText)) return;
      const only = original.indexOf(oldText) === original.lastIndexOf(oldText);
      if (only)
        expect(replace(original, [oldText, newText])).toBe(original.slice(0, start) + newText + original.slice(start + oldText.length));
      else expect(reason(original, [oldText, newText])).toBe("ambiguous_match");
    }),
  );
});

test("every patch leads from the old text to the new one, and names the first line that differs", () => {
  fc.assert(
    fc.property(text, text, fc.boolean(), (before, after, chop) => {
      const old = chop ? before.trimEnd() : before;
      const { patch, firstChangedLine } = describeChange("file", old, after);
      const lines = (content: string): string[] => content.match(/[^\n]*\n|[^\n]+/g) ?? [];
      const first = lines(after + old).findIndex((_, index) => lines(old)[index] !== lines(after)[index]);
      if (old === after) expect([patch, firstChangedLine]).toEqual(["", 0]);
      else expect([applyPatch(old, patch, { autoConvertLineEndings: false }), firstChangedLine]).toEqual([after, first + 1]);
    }),
    { numRuns: 500 },
  );
});

test("a change of very many lines is told coarsely, one that is too long not at all", () => {
  const before = Array.from({ length: 5000 }, (_, i) => `old ${i}\n`).join("");
  const after = Array.from({ length: 5000 }, (_, i) => `new ${i}`).join("\n");
  const { patch } = describeChange("file", before, after);
  expect(applyPatch(before, patch)).toBe(after);
  expect(describeChange("file", before, "x".repeat(2_000_000)).patch).toBe("");
});
