import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { cleanEnvironment, LEAF } from "./leaf.ts";

/**
 * Run a script with a file system of its own at `$DISK`, in namespaces of its own for mounts and processes: nobody else sees it, and with the script all
 * that it started ends.
 */
async function withDisk(script: string): Promise<Record<string, unknown>> {
  const disk = await temporaryDirectory();
  const own = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const setup = 'mount -t tmpfs -o size=24m,mode=700 disk "$DISK"; leaf() { LEAF_DIR="$DISK/state" "$NODE" "$LEAF" "$@"; }';
  const told =
    'printf \'{"code":%s,"left":%s,"stderr":%s}\' "$code" "$left" "$("$NODE" -p "JSON.stringify(fs.readFileSync(process.argv[1]+\'\',\'utf8\'))" "$SAID")"';
  const env = { ...cleanEnvironment(), DISK: disk, SAID: join(await temporaryDirectory(), "stderr"), NODE: process.execPath, LEAF };
  const args = [...own, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `set -e\n${setup}\n${script}\n${told}`];
  const { stdout } = await promisify(execFile)("unshare", args, { env });
  return JSON.parse(stdout.slice(stdout.lastIndexOf('{"code"')));
}

/** Processes of the stack that live. */
const COUNT = 'left=$(grep -la "LEAF_STACK=$DISK/state" /proc/[0-9]*/environ 2>/dev/null | wc -l)';
const UP = "leaf up --port 0 --sandbox process --model stand-in >/dev/null";

test("leaf down stops everything on a disk that is full", async () => {
  const fill = 'head -c 40000000 /dev/zero >"$DISK/filler" 2>/dev/null || true; leaf turn --timeout 5 hello >/dev/null 2>&1 || true';
  expect(await withDisk(`${UP}\n${fill}\ncode=0; leaf down >/dev/null 2>"$SAID" || code=$?\n${COUNT}`)).toMatchObject({ code: 0, left: 0 });
});

test("leaf down stops everything in a state directory that became read-only, and says what is left to be done", async () => {
  const script = `${UP}\nmount --bind "$DISK/state" "$DISK/state"\nmount -o remount,bind,ro "$DISK/state"\ncode=0; leaf down >/dev/null 2>"$SAID" || code=$?\n${COUNT}`;
  expect(await withDisk(script)).toMatchObject({
    code: 7,
    left: 0,
    stderr: expect.stringMatching(/everything is stopped, but .*read-only file system.*`leaf down` again/is),
  });
});

test("leaf up on a disk that is full says so, and leaves nothing running", async () => {
  const script = `head -c 40000000 /dev/zero >"$DISK/filler" 2>/dev/null || true\ncode=0; leaf up --port 0 >/dev/null 2>"$SAID" || code=$?\n${COUNT}`;
  expect(await withDisk(script)).toMatchObject({ code: 7, left: 0, stderr: expect.stringContaining("no room is left on the disk") });
});
