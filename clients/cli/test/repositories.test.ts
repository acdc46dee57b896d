import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { LEAF, type LeafJson, type Ran, runProgram, temporaryLeaf } from "./leaf.ts";

interface SolveJson extends LeafJson {
  readonly leaf: LeafJson["leaf"] & { readonly result: { readonly patch: string; readonly baseCommit: string } };
}

/** Run git as a user does. */
function git(directory: string, ...args: string[]): string {
  const identity = ["-c", "user.name=u", "-c", "user.email=u@example.com"];
  return execFileSync("git", ["-C", directory, ...identity, ...args], { encoding: "utf8" }).trim();
}

/** A repository with a file `a/b.txt`. */
function repositoryIn(directory: string, name: string): string {
  const path = join(directory, name);
  mkdirSync(join(path, "a"), { recursive: true });
  git(path, "init", "-q");
  writeFileSync(join(path, "a/b.txt"), "one\n");
  git(path, "add", ".");
  git(path, "commit", "-q", "-m", "first");
  return path;
}

test("a solve works on the repository that the user stands in, if the stack was started with a directory around it", async () => {
  const base = realpathSync(await temporaryDirectory());
  const [named, other] = [repositoryIn(base, "named/project"), repositoryIn(base, "other/project")];
  const leaf = await temporaryLeaf();
  const run = (cwd: string, ...args: string[]): Promise<Ran> =>
    runProgram(process.execPath, [LEAF, ...args], { env: { LEAF_DIR: leaf.dir, LEAF_PORT: "0" }, cwd });
  const up = await run(base, "up", "--repositories", "named");
  expect(up, up.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining(`clones   ${base}/named\n`) });
  const solve = async (cwd: string, repo: string): Promise<SolveJson> => {
    const submitted = await run(cwd, "submit", "--solve", "--repo", repo, "Run: echo two >>a/b.txt");
    expect(submitted, submitted.stderr).toMatchObject({ code: 0 });
    await run(cwd, "watch", submitted.stdout.trim());
    return leaf.json<SolveJson>("get", submitted.stdout.trim());
  };
  for (const [cwd, repo] of [
    [join(named, "a"), "."],
    [base, `file://${named}`],
    [base, `${named}#HEAD`],
  ] as const) {
    const solved = await solve(cwd, repo);
    expect(solved.leaf, repo).toMatchObject({ state: "LEAF_STATE_DONE", result: { baseCommit: git(named, "rev-parse", "HEAD") } });
    execFileSync("git", ["-C", named, "apply"], { input: solved.leaf.result.patch });
    expect(readFileSync(join(named, "a/b.txt"), "utf8"), repo).toBe("one\ntwo\n");
    git(named, "checkout", "-q", ".");
  }
  const refused = await run(other, "submit", "--solve", "--repo", ".", "x");
  expect(refused).toMatchObject({ code: 7, stderr: expect.stringContaining(`leaf up --repositories ${other}`) });
  const nowhere = await run(base, "submit", "--solve", "--repo", ".", "x");
  expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining("is in no git repository") });
}, 120_000);
