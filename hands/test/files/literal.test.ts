import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { literalOf } from "../../files/line-matcher.ts";
import { startFileService, WORKSPACE } from "./service.ts";

test("a plain text finds what the same finds as a regular expression, in files of any size and ending", async () => {
  const { files, path } = await startFileService();
  const contents: Record<string, string | Buffer> = {
    many: "needle needle\nnone\n\nneedle\n",
    crlf: "a\r\nneedle\r\nb",
    last: "\n\n\nneedle",
    large: `${"filler line\n".repeat(40_000)}needle\n${"filler line\n".repeat(10)}a needle again`,
    binary: Buffer.from("needle\0\n"),
    latin: Buffer.from("caf\xe9 needle\n", "latin1"),
    empty: "",
  };
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(path, name), content);
  const grep = (pattern: string, more = {}) => files.grep({ workspace: WORKSPACE, pattern, ...more });
  for (const more of [{}, { limit: 3 }, { contextLines: 1 }]) {
    const [plain, regular] = [await grep("needle", more), await grep("(needle)", more)];
    expect(plain).toEqual(regular);
  }
  const { lines } = await grep("needle");
  expect(lines.map(({ path: name, line }) => `${name}:${line}`)).toEqual([
    "crlf:2",
    "large:40001",
    "large:40012",
    "last:4",
    "latin:1",
    "many:1",
    "many:4",
  ]);
});

test("a text with a character that means something in a regular expression is no plain text, unless it is sent as one", () => {
  const query = { literal: false, ignoreCase: false, maxPerFile: 1 };
  for (const pattern of [..."^$.|?*+()[]{}\\#"]) {
    expect(literalOf({ ...query, pattern: `a${pattern}b` })).toBeUndefined();
    expect(literalOf({ ...query, literal: true, pattern: `a${pattern}b` })?.toString()).toBe(`a${pattern}b`);
  }
  expect(literalOf({ ...query, pattern: "const x" })?.toString()).toBe("const x");
  expect(literalOf({ ...query, ignoreCase: true, pattern: "x" })).toBeUndefined();
});
