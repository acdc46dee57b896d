import { execFileSync, spawnSync } from "node:child_process";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { aboutPath, pathError, translateError } from "@serverless-harness/kit/paths/path-error";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";

const FIXTURE = join(import.meta.dirname, "../fixtures/file-problems.ts");
const isRoot = process.geteuid?.() === 0;
/** A process may mount a small file system of its own here. */
const mayMount = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;

interface Report {
  readonly reasons: Record<string, string>;
  readonly files: Record<string, string>;
  readonly staged: Record<string, string>;
}

const failing = (code: string): Error => Object.assign(new Error(`${code}: /host/path`), { code });

test("errors of the system become errors about the path that the client named, without the host's path", () => {
  const cases = [
    ["ENOENT", Code.NotFound, "not_found"],
    ["EACCES", Code.PermissionDenied, "permission_denied"],
    ["ENOTDIR", Code.FailedPrecondition, "not_directory"],
    ["EISDIR", Code.FailedPrecondition, "is_directory"],
    ["ELOOP", Code.FailedPrecondition, "symlink_loop"],
    ["ENAMETOOLONG", Code.InvalidArgument, "name_too_long"],
    ["ENOSPC", Code.ResourceExhausted, "no_space"],
    ["EDQUOT", Code.ResourceExhausted, "no_space"],
    ["EMFILE", Code.ResourceExhausted, "too_many_open_files"],
    ["EXDEV", Code.FailedPrecondition, "other_file_system"],
    ["EROFS", Code.PermissionDenied, "read_only"],
    ["ENXIO", Code.FailedPrecondition, "not_a_file"],
  ] as const;
  for (const [errno, code, reason] of cases) {
    const translated = translateError(failing(errno), "some/file");
    expect(translated).toBeInstanceOf(HarnessError);
    expect(translated).toMatchObject({ code, reason, message: expect.stringMatching(/^some\/file /) });
    expect((translated as HarnessError).message).not.toContain("host");
  }
});

test("what is no error of the file system stays what it is", async () => {
  const [defect, known] = [new Error("a defect"), pathError("not_text", "x")];
  expect(translateError(defect, "x")).toBe(defect);
  expect(translateError(known, "y")).toBe(known);
  await expect(aboutPath("x", () => Promise.reject(failing("EIO")))).rejects.toMatchObject({ code: "EIO" });
  expect(await aboutPath("x", () => 7)).toBe(7);
});

test("without permission each call is refused as such, a search leaves out what it can't read, and nothing changes", async () => {
  const base = await temporaryDirectory();
  if (isRoot) execFileSync("chown", ["65534:65534", base]);
  const user = isRoot ? { uid: 65534, gid: 65534 } : {};
  const report = JSON.parse(execFileSync(process.execPath, [FIXTURE, base, "permissions"], { encoding: "utf8", ...user })) as Report;
  const searches = { "find everything": "ok", "grep everything": "ok" };
  expect(report.reasons).toEqual({
    ...Object.fromEntries(Object.keys(report.reasons).map((name) => [name, "permission_denied"])),
    ...searches,
  });
  expect(report.files).toEqual({ "read-only": "old", unreadable: "old", locked: "directory", "locked/file": "old", closed: "directory" });
  expect(report.staged).toEqual({});
  await chmod(join(base, "workspaces/acme/one/locked"), 0o755);
});

test.runIf(mayMount)("on a full disk a write is refused, the old content stays, and what fits still goes in", async () => {
  const base = await temporaryDirectory();
  const command = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" "$3" "$1" full';
  const output = execFileSync("unshare", ["-rm", "sh", "-c", command, "sh", base, process.execPath, FIXTURE], { encoding: "utf8" });
  const report = JSON.parse(output) as Report;
  expect(report.reasons).toEqual({
    "write what fits": "ok",
    "write too much": "no_space",
    "append too much": "no_space",
    "write what fits again": "ok",
  });
  expect(report).toMatchObject({ files: { file: "small", other: "small" }, staged: {} });
});
