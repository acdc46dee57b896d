import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type FileServiceUnderTest, reasonOf, startFileService, WORKSPACE } from "./service.ts";
import { startSwapper } from "./swapper.ts";

/** Ignored things, nested rules that take some back, hidden files, a `.git`, a binary file, odd names. */
const TREE: Readonly<Record<string, string>> = {
  ".gitignore": "# built\nbuild/\n*.log\n!keep.log\n/only-here\n",
  ".git/config": "needle",
  ".hidden/file.ts": "needle in hidden",
  "README.md": "no such word\nneedle one\nand two\nNEEDLE three\n",
  "a-b/file.ts": "needle",
  "a.ts": "needle",
  "a/.gitignore": "*.tmp\n!build\n/sub/*\n!/sub/back.ts\n",
  "a/build": "needle: a file, not a directory",
  "a/file.ts": "first\r\nneedle second\r\nthird\r\n",
  "a/only-here": "needle",
  "a/sub/back.ts": "needle back",
  "a/sub/gone.ts": "needle gone",
  "a/x.tmp": "needle",
  "binary.bin": "needle\0needle",
  "build/out.ts": "needle built",
  "keep.log": "needle kept",
  "only-here": "needle",
  "other.log": "needle",
  "-rf": "needle",
  "sp ace/näme\n.ts": "needle",
  "zero/empty.ts": "",
};

async function plantTree(service: FileServiceUnderTest): Promise<void> {
  for (const [path, content] of Object.entries(TREE)) {
    await mkdir(dirname(join(service.path, path)), { recursive: true });
    await writeFile(join(service.path, path), content);
  }
  await mkdir(join(service.path, "bare"));
  await symlink("a", join(service.path, "link"));
  await symlink("/etc", join(service.path, "out"));
  // What lies above the workspace says nothing about it.
  await writeFile(join(dirname(service.path), ".gitignore"), "*\n");
}

function searches({ files }: FileServiceUnderTest) {
  return {
    find: async (glob: string, options: { path?: string; limit?: number; includeIgnored?: boolean } = {}) =>
      files.find({ workspace: WORKSPACE, glob, ...options }),
    grep: async (pattern: string, options: Omit<Parameters<typeof files.grep>[0], "workspace" | "pattern" | "$typeName"> = {}) =>
      files.grep({ workspace: WORKSPACE, pattern, ...options }),
  };
}

test("find honours every .gitignore of the workspace and none outside, and shows hidden paths but not .git", async () => {
  const service = await startFileService();
  await plantTree(service);
  const { paths, truncated } = await searches(service).find("*");
  expect(truncated).toBe(false);
  const expected = [
    "-rf",
    ".gitignore",
    ".hidden/",
    ".hidden/file.ts",
    "README.md",
    "a-b/",
    "a-b/file.ts",
    "a.ts",
    "a/",
    "a/.gitignore",
    "a/build",
    "a/file.ts",
    "a/only-here",
    "a/sub/",
    "a/sub/back.ts",
    "bare/",
    "binary.bin",
    "keep.log",
    "link",
    "out",
    "sp ace/",
    "sp ace/näme\n.ts",
    "zero/",
    "zero/empty.ts",
  ];
  expect(paths).toEqual(expected);
  expect(paths).toEqual([...paths].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
});

test("find shows what is ignored when asked, but never .git", async () => {
  const service = await startFileService();
  await plantTree(service);
  const { paths } = await searches(service).find("{out.ts,gone.ts,config,*.log}", { includeIgnored: true });
  expect(paths).toEqual(["a/sub/gone.ts", "build/out.ts", "keep.log", "other.log"]);
});

test("a glob without a slash matches names, one with a slash the path below the searched directory", async () => {
  const service = await startFileService();
  await plantTree(service);
  const { find } = searches(service);
  const found = async (glob: string, path = "") => (await find(glob, { path })).paths;
  expect(await found("file.ts")).toEqual([".hidden/file.ts", "a-b/file.ts", "a/file.ts"]);
  expect(await found("*/file.ts")).toEqual([".hidden/file.ts", "a-b/file.ts", "a/file.ts"]);
  expect(await found("/*.ts")).toEqual(["a.ts"]);
  expect(await found("**/*.ts", "a")).toEqual(["file.ts", "sub/back.ts"]);
  expect(await found("a/**")).toEqual(["a/.gitignore", "a/build", "a/file.ts", "a/only-here", "a/sub/", "a/sub/back.ts"]);
  expect(await found("s*/")).toEqual(["a/sub/", "sp ace/"]);
  expect(await found("[a-b].{ts,js}")).toEqual(["a.ts"]);
  expect(await found("-*")).toEqual(["-rf"]);
  expect(await found("*.tmp", "a")).toEqual([]);
  expect(await found("*.log", "a")).toEqual([]);
  expect(await found("*.ts", "link")).toEqual(["file.ts", "sub/back.ts"]);
});

test("find takes a negated glob, and a name that is written like the glob", async () => {
  const service = await startFileService();
  await plantTree(service);
  const { find } = searches(service);
  await writeFile(join(service.path, "[id].tsx"), "");
  expect((await find("[id].tsx")).paths).toEqual(["[id].tsx"]);
  const all = (await find("*")).paths;
  expect((await find("!*.ts")).paths).toEqual(all.filter((path) => !path.endsWith(".ts")));
  expect((await find("!a/")).paths).toEqual(all.filter((path) => !path.startsWith("a/")));
  expect(await reasonOf(() => find("["))).toBe("invalid_argument");
});

test("find stops at its limit and tells whether there is more", async () => {
  const service = await startFileService();
  await plantTree(service);
  const { find } = searches(service);
  expect(await find("file.ts", { limit: 2 })).toMatchObject({ paths: [".hidden/file.ts", "a-b/file.ts"], truncated: true });
  expect(await find("file.ts", { limit: 3 })).toMatchObject({ truncated: false });
});

test("find refuses what is no directory, what lies outside, and globs that stand for too much", async () => {
  const service = await startFileService();
  await plantTree(service);
  const { find } = searches(service);
  expect(await reasonOf(() => find("*", { path: "a.ts" }))).toBe("not_directory");
  expect(await reasonOf(() => find("*", { path: "none" }))).toBe("not_found");
  expect(await reasonOf(() => find("*", { path: "out" }))).toBe("path_outside");
  expect(await reasonOf(() => find("{a,b}".repeat(20)))).toBe("invalid_argument");
});

describe("grep", () => {
  let service: FileServiceUnderTest;
  let grep: ReturnType<typeof searches>["grep"];
  const start = async () => {
    service = await startFileService();
    await plantTree(service);
    grep = searches(service).grep;
  };
  const shown = async (...call: Parameters<typeof grep>) =>
    (await grep(...call)).lines.map(({ path, line, text, match }) => `${path}:${line}${match ? ":" : "-"}${text}`);

  test("finds lines in the files that find finds, sorted by path, without the binary one", async () => {
    await start();
    expect(await shown("needle")).toEqual([
      "-rf:1:needle",
      ".hidden/file.ts:1:needle in hidden",
      "README.md:2:needle one",
      "a-b/file.ts:1:needle",
      "a.ts:1:needle",
      "a/build:1:needle: a file, not a directory",
      "a/file.ts:2:needle second",
      "a/only-here:1:needle",
      "a/sub/back.ts:1:needle back",
      "keep.log:1:needle kept",
      "sp ace/näme\n.ts:1:needle",
    ]);
  });

  test("searches one directory, one file, and an ignored file that is named itself", async () => {
    await start();
    expect(await shown("needle", { path: "a" })).toEqual([
      "a/build:1:needle: a file, not a directory",
      "a/file.ts:2:needle second",
      "a/only-here:1:needle",
      "a/sub/back.ts:1:needle back",
    ]);
    expect(await shown("needle", { path: "link/file.ts" })).toEqual(["link/file.ts:2:needle second"]);
    expect(await shown("needle", { path: `${service.path}/other.log` })).toEqual(["other.log:1:needle"]);
    expect(await shown("needle", { path: "-rf" })).toEqual(["-rf:1:needle"]);
    expect(await shown("needle", { path: "build" })).toEqual(["build/out.ts:1:needle built"]);
  });

  test("a glob narrows the files, and takes nothing ignored back", async () => {
    await start();
    expect(await shown("needle", { glob: "*.log" })).toEqual(["keep.log:1:needle kept"]);
    expect(await shown("needle", { glob: "a/*.ts" })).toEqual(["a/file.ts:2:needle second"]);
    expect(await shown("needle", { path: "a", glob: "sub/*" })).toEqual(["a/sub/back.ts:1:needle back"]);
    expect(await shown("needle", { glob: "-*" })).toEqual(["-rf:1:needle"]);
  });

  test("takes regular expressions, literal texts, and either case", async () => {
    await start();
    expect(await shown("^needle (one|two)$")).toEqual(["README.md:2:needle one"]);
    expect(await shown("second$")).toEqual(["a/file.ts:2:needle second"]);
    expect(await shown("needle.", { literal: true })).toEqual([]);
    expect(await shown("needle: a", { literal: true })).toHaveLength(1);
    expect(await shown("(?i)NEEDLE t")).toEqual(["README.md:4:NEEDLE three"]);
    expect(await shown("needle T", { ignoreCase: true })).toEqual(["README.md:4:NEEDLE three"]);
    expect(await shown("-rf", { literal: true })).toEqual([]);
    expect(await shown("--version")).toEqual([]);
    expect(await shown("n\\w{5}\\s[[:alpha:]]ne")).toEqual(["README.md:2:needle one"]);
  });

  test("shows context once, where two matches share it", async () => {
    await start();
    const expected = ["README.md:1-no such word", "README.md:2:needle one", "README.md:3-and two", "README.md:4:NEEDLE three"];
    expect(await shown("needle", { path: "README.md", ignoreCase: true, contextLines: 2 })).toEqual(expected);
    expect(await shown("second", { contextLines: 50 })).toEqual(["a/file.ts:1-first", "a/file.ts:2:needle second", "a/file.ts:3-third"]);
  });

  test("stops at its limit and tells whether there is more", async () => {
    await start();
    const two = await grep("needle", { limit: 2 });
    expect(two).toMatchObject({ truncated: true });
    expect(two.lines).toHaveLength(2);
    expect(await grep("needle", { limit: 11 })).toMatchObject({ truncated: false });
    expect(await grep("needle", { path: "README.md", ignoreCase: true, limit: 1, contextLines: 5 })).toMatchObject({
      lines: [
        { line: 1n, match: false },
        { line: 2n, match: true },
        { line: 3n, match: false },
      ],
      truncated: true,
    });
    expect(await grep("needle", { path: "binary.bin", limit: 1 })).toMatchObject({ lines: [], truncated: false });
  });

  test("names a binary file that matches, and finds the first line of one with a byte order mark", async () => {
    await start();
    expect(await grep("needle", { path: "binary.bin" })).toMatchObject({ lines: [], binary: ["binary.bin"] });
    expect((await grep("needle")).binary).toEqual(["binary.bin"]);
    expect(await grep("thread", { path: "binary.bin" })).toMatchObject({ lines: [], binary: [] });
    await writeFile(join(service.path, "large.bin"), Buffer.concat([Buffer.alloc(2_000_000), Buffer.from("needle")]));
    expect((await grep("needle", { path: "large.bin" })).binary).toEqual(["large.bin"]);
    await writeFile(join(service.path, "marked"), "\ufeffxyz\nxyz\n");
    expect((await grep("^x[y]z", { path: "marked" })).lines.map(({ line }) => line)).toEqual([1n, 2n]);
  });

  test("a negated glob takes what does not match, and one that is none is refused", async () => {
    await start();
    const paths = async (glob: string) => [...new Set((await grep("needle", { glob })).lines.map(({ path }) => path))];
    const all = await paths("");
    expect(await paths("!*.ts")).toEqual(all.filter((path) => !path.endsWith(".ts")));
    expect(await paths("!a")).toEqual(all.filter((path) => !path.startsWith("a/")));
    for (const glob of ["[", "a[b", "!", "{a,b", "a}", "x\\"])
      expect(await grep("needle", { glob }).catch(fromConnectError), glob).toMatchObject({ violations: [{ field: "glob" }] });
  });

  test("cuts long lines, replaces invalid UTF-8 and counts many lines right", async () => {
    await start();
    await writeFile(join(service.path, "long"), `${"x".repeat(100_000)}needle${"y".repeat(100_000)}\n`);
    await writeFile(join(service.path, "latin1"), Buffer.from("h\xe9llo needle\n", "latin1"));
    await writeFile(join(service.path, "many"), `${"filler line\n".repeat(50_000)}needle\n`);
    const around = `…${"x".repeat(100)}needle${"y".repeat(393)}`;
    expect(await shown("needle", { path: "long" })).toEqual([`long:1:${around}`]);
    expect(await shown("n[e]edle", { path: "long" })).toEqual([`long:1:${around}`]);
    await writeFile(join(service.path, "umlauts"), `${"ä".repeat(70_001)}needle`);
    for (const pattern of ["needle", "n[e]+dle$"])
      expect(await shown(pattern, { path: "umlauts" }), pattern).toEqual([`umlauts:1:…${"ä".repeat(50)}needle`]);
    expect(await shown("needle", { path: "latin1" })).toEqual(["latin1:1:h\ufffdllo needle"]);
    expect(await shown("needle", { path: "many" })).toEqual(["many:50001:needle"]);
  });

  test("refuses a pattern that is none, with what is wrong, even where there is nothing to search", async () => {
    await start();
    const error = await grep("f(", { path: "bare" }).catch(fromConnectError);
    expect(error).toMatchObject({ reason: "invalid_argument", violations: [{ field: "pattern" }] });
    expect(await reasonOf(() => grep("(?=x)"))).toBe("invalid_argument");
    expect(await reasonOf(() => grep("a\nb"))).toBe("invalid_argument");
    expect(await reasonOf(() => grep("f(", { literal: true }))).toBe("ok");
  });

  test("refuses special files and places outside", async () => {
    await start();
    execFileSync("mkfifo", [join(service.path, "fifo")]);
    expect(await reasonOf(() => grep("x", { path: "fifo" }))).toBe("not_a_file");
    expect(await reasonOf(() => grep("x", { path: "out" }))).toBe("path_outside");
    expect(await reasonOf(() => grep("x"))).toBe("ok");
  });

  test("shows no line from outside while a process swaps symlinks into the searched tree", async () => {
    await start();
    const outside = join(dirname(dirname(service.path)), "outside");
    await startSwapper(service.path, outside);
    const seen = new Set<string>();
    for (let i = 0; i < 12; i++) for (const line of await shown("side", { glob: "file" })) seen.add(line);
    expect([...seen].filter((line) => line.includes("outside"))).toEqual([]);
  });

  test("takes linear time, whatever the pattern", async () => {
    service = await startFileService({ limits: { searchMs: 300 } });
    await writeFile(join(service.path, "evil"), `${"a".repeat(40)}!\n`);
    expect(await reasonOf(() => searches(service).grep("^(a+)+$"))).toBe("ok");
  });

  test("says that ripgrep is missing, and finds a plain text without it", async () => {
    await start();
    vi.stubEnv("PATH", "/nonexistent");
    onTestFinished(() => void vi.unstubAllEnvs());
    const error = await grep("need[l]e").catch(fromConnectError);
    expect(error).toMatchObject({ reason: "search_unavailable", message: expect.stringContaining("apt-get install ripgrep") });
    expect(await shown("needle one")).toEqual(["README.md:2:needle one"]);
  });
});
