import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type LocateOptions, locate, type Root } from "@serverless-harness/kit/paths/locate";
import { translateError } from "@serverless-harness/kit/paths/path-error";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { startSwapper } from "../files/swapper.ts";

/** A workspace with `a/b/file`, beside it an outside directory with a `secret`, and a second root. */
async function makeTree() {
  const base = await temporaryDirectory();
  const workspace = join(base, "workspace");
  const outside = join(base, "outside");
  const spill = join(base, "spill");
  await mkdir(join(workspace, "a/b"), { recursive: true });
  await writeFile(join(workspace, "a/b/file"), "inside");
  for (const directory of [outside, spill]) {
    await mkdir(directory);
    await writeFile(join(directory, "secret"), "outside");
  }
  const roots: [Root, ...Root[]] = [{ path: workspace }, { path: spill }];
  const at = (path: string, options: Partial<LocateOptions> = {}) => locate(roots, path, { follow: true, ...options });
  const content = (path: string): string => {
    using location = at(path);
    if (location.entry === undefined) throw new Error(`${path} is missing: ${location.missing}`);
    return readFileSync(location.entry.path, "utf8");
  };
  const reason = (path: string, options: Partial<LocateOptions> = {}): string => {
    try {
      at(path, options)[Symbol.dispose]();
    } catch (error) {
      const translated = translateError(error, path);
      if (translated instanceof HarnessError) return translated.reason;
      throw error;
    }
    return "none";
  };
  return { workspace, outside, spill, roots, at, content, reason };
}

test("a path is taken relative to the workspace, or absolute below it", async () => {
  const { workspace, content } = await makeTree();
  for (const path of ["a/b/file", "./a//b/./file", `${workspace}/a/b/file`, `/${workspace}//a/b/file`, "a/b/../b/file", "a/../a/b/file/"]) {
    expect(content(path)).toBe("inside");
  }
});

test("the workspace itself can be named in many ways", async () => {
  const { workspace, at } = await makeTree();
  for (const path of ["", ".", "./", workspace, `${workspace}/`, "a/..", "a/b/../.."]) {
    using location = at(path);
    expect(location).toMatchObject({ parent: undefined, path: workspace, resolvedPath: workspace, missing: [] });
    expect(location.entry?.stat().isDirectory()).toBe(true);
  }
});

test("a path that leaves the workspace is refused", async () => {
  const { workspace, outside, reason } = await makeTree();
  const paths = ["..", "../outside/secret", "a/../../outside", "a/b/../../../workspace/a", outside, "/", "/etc/passwd", `${workspace}x`];
  expect(paths.map((path) => reason(path))).toEqual(paths.map(() => "path_outside"));
});

test("symlinks that stay inside are followed, whether relative or absolute", async () => {
  const { workspace, at, content } = await makeTree();
  await symlink("b/file", join(workspace, "a/relative"));
  await symlink(join(workspace, "a/b"), join(workspace, "absolute"));
  await symlink("../a/relative", join(workspace, "a/twice"));
  await symlink("absolute/../relative", join(workspace, "physical"));
  for (const path of ["a/relative", "absolute/file", "a/twice", "physical", "absolute/../relative"]) expect(content(path)).toBe("inside");
  using location = at("absolute/file");
  expect(location.path).toBe(`${workspace}/absolute/file`);
  expect(location.resolvedPath).toBe(`${workspace}/a/b/file`);
  using beyond = at("absolute/../relative");
  expect(beyond.path).toBe(`${workspace}/a/relative`);
});

test("symlinks that lead out are refused, in the middle and at the end, directly and through others", async () => {
  const { workspace, outside, reason } = await makeTree();
  await symlink("../outside", join(workspace, "relative"));
  await symlink(outside, join(workspace, "absolute"));
  await symlink("../outside/secret", join(workspace, "file"));
  await symlink("absolute/secret", join(workspace, "chained"));
  await symlink("a/b/../../../outside/secret", join(workspace, "winding"));
  await symlink("/proc/self/root/etc", join(workspace, "proc"));
  for (const path of ["relative/secret", "absolute/secret", "absolute/new", "file", "chained", "winding", "proc/passwd"]) {
    expect(reason(path)).toBe("path_outside");
  }
});

test("a symlink at the end can be located itself", async () => {
  const { workspace, outside, at } = await makeTree();
  await symlink(outside, join(workspace, "absolute"));
  using location = at("absolute", { follow: false });
  expect(location.entry?.stat().isSymbolicLink()).toBe(true);
  expect(location.name).toBe("absolute");
});

test("symlinks in a circle are refused", async () => {
  const { workspace, reason } = await makeTree();
  await symlink("two", join(workspace, "one"));
  await symlink("one", join(workspace, "two"));
  await symlink("self/more", join(workspace, "self"));
  expect([reason("one"), reason("two/x"), reason("self")]).toEqual(["symlink_loop", "symlink_loop", "symlink_loop"]);
});

test("what is missing is told from the first missing name on, also behind a dangling symlink", async () => {
  const { workspace, at, reason } = await makeTree();
  await symlink("a/new/deep", join(workspace, "dangling"));
  using plain = at("a/x/y/z");
  expect(plain).toMatchObject({ name: "x", missing: ["x", "y", "z"], entry: undefined, resolvedPath: `${workspace}/a/x/y/z` });
  using dangling = at("dangling/file");
  expect(dangling).toMatchObject({ name: "new", missing: ["new", "deep", "file"], path: `${workspace}/dangling/file` });
  expect(reason("a/x/../b")).toBe("not_found");
});

test("a path through a file is refused", async () => {
  const { reason } = await makeTree();
  expect([reason("a/b/file/x"), reason("a/b/file/..")]).toEqual(["not_directory", "not_directory"]);
});

test("a name that is too long is refused", async () => {
  const { reason } = await makeTree();
  expect(reason(`a/${"x".repeat(256)}`)).toBe("name_too_long");
});

test("a FIFO is located without waiting for its other end", async () => {
  const { workspace, at } = await makeTree();
  execFileSync("mkfifo", [join(workspace, "fifo")]);
  using location = at("fifo");
  expect(location.entry?.stat().isFIFO()).toBe(true);
});

test("a second root is reached by absolute path and by symlink, and is left as little as the first", async () => {
  const { workspace, spill, content, reason } = await makeTree();
  await symlink(join(spill, "secret"), join(workspace, "spilled"));
  expect(content(join(spill, "secret"))).toBe("outside");
  expect(content("spilled")).toBe("outside");
  expect(reason(`${spill}/../outside/secret`)).toBe("path_outside");
});

test("a workspace whose directory was removed is told from a missing file", async () => {
  const { workspace, reason } = await makeTree();
  execFileSync("rm", ["-rf", workspace]);
  expect(reason("a/b/file")).toBe("workspace_missing");
});

test("no descriptor stays open, whether locating succeeds or fails", async () => {
  const { workspace, reason } = await makeTree();
  await symlink("../outside", join(workspace, "relative"));
  const before = readdirSync("/proc/self/fd").length;
  for (let i = 0; i < 100; i++) {
    for (const path of ["a/b/file", "a/b", "a/x/y", "relative/secret", "a/b/file/x", "a/b/../..", "."]) reason(path);
  }
  expect(readdirSync("/proc/self/fd").length).toBe(before);
});

test("not one byte outside is reached while a process swaps symlinks into the path", async () => {
  const { workspace, outside, roots } = await makeTree();
  await startSwapper(workspace, outside);
  const seen = { guarded: new Set<string>(), naive: new Set<string>() };
  const tried = (read: () => string): string => {
    try {
      return read();
    } catch (error) {
      const translated = translateError(error, "");
      return translated instanceof HarnessError ? translated.reason : String(error);
    }
  };
  for (let i = 0; i < 8000; i++) {
    const path = i % 2 === 0 ? "directory/file" : "inner/file";
    seen.guarded.add(
      tried(() => {
        using location = locate(roots, path, { follow: true });
        return location.entry === undefined ? "not_found" : readFileSync(location.entry.path, "utf8");
      }),
    );
    seen.naive.add(tried(() => readFileSync(join(workspace, path), "utf8")));
  }
  expect([...seen.guarded].filter((result) => !["inside", "not_found", "path_outside"].includes(result))).toEqual([]);
  expect(seen.guarded).toContain("inside");
  // The race is real: who trusts the path gets to see the outside.
  expect(seen.naive).toContain("outside");
});
