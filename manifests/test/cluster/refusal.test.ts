import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ownGroups } from "../../cluster/cgroups.ts";
import { readSettings } from "../../cluster/config.ts";
import { refusal } from "../../cluster/refusal.ts";

const MAIN = join(import.meta.dirname, "..", "..", "cluster", "main.ts");

/** Run the command with a cache of its own, in which there is no cluster. */
function cluster(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const cache = mkdtempSync(join(tmpdir(), "leaf-cluster-test-"));
  onTestFinished(() => rmSync(cache, { recursive: true, force: true }));
  const { KUBECONFIG: _, ...rest } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    env: { ...rest, XDG_CACHE_HOME: cache, ...environment },
    encoding: "utf8",
  });
  return { status, stdout, stderr, left: readdirSync(cache, { recursive: true }) };
}

test("`up` is refused if there is a cluster already, and builds nothing", () => {
  const { status, stderr, left } = cluster(["up"], { KUBECONFIG: "/root/.kube/config" });
  expect(stderr).toBe(
    "cluster: KUBECONFIG is /root/.kube/config: there is a cluster already, and `test` uses it; unset KUBECONFIG to start one here\n",
  );
  expect({ status, left }).toEqual({ status: 1, left: [] });
});

test("somebody who is not root is told so, and what else works", () => {
  expect(refusal(undefined, 1000)).toBe(
    "the test cluster needs root, for namespaces, cgroups and mounts of its own; run this as root, or use Kind and set KUBECONFIG",
  );
  expect(refusal(undefined, 0)).toBeUndefined();
});

test("a machine without a cgroup v1 controller is refused by the controller's name", () => {
  expect(() => ownGroups("leaf", "0::/user.slice\n")).toThrow('this machine has no cgroup v1 controller "cpu"');
});

test("the cluster's groups lie below this process's own, however the controllers are mounted", () => {
  const membership = ["cpuset", "memory", "devices", "freezer", "blkio", "pids", "name=systemd"].map((one, i) => `${i}:${one}:/a/b:c`);
  const groups = ownGroups("leaf", [...membership, "9:cpu,cpuacct:/x", "0::/"].join("\n"));
  expect(groups).toContain("/sys/fs/cgroup/memory/a/b:c/leaf");
  expect(groups).toContain("/sys/fs/cgroup/cpuacct/x/leaf");
  expect(groups).toContain("/sys/fs/cgroup/systemd/a/b:c/leaf");
});

test("a cluster that is down has a status, which is no error text, and can be taken down again", () => {
  const asked = cluster(["status", "--json"]);
  expect({ status: asked.status, state: JSON.parse(asked.stdout) }).toEqual({ status: 1, state: { up: false } });
  const down = cluster(["down"]);
  expect(down.status).toBe(0);
  expect(down.stderr).toContain("it is down, and nothing of it is left");
});

test("kubectl without a cluster says how to start one", () => {
  const { status, stderr } = cluster(["kubectl", "get", "pods"]);
  expect({ status, stderr }).toEqual({ status: 1, stderr: "cluster: the cluster is down; start it with: npm run cluster -- up\n" });
});

test.each([["frobnicate"], []])("without a command that it knows it shows how to use it (%s)", (...args) => {
  const { status, stderr } = cluster(args);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^usage: npm run cluster -- up/);
});

test("an option that it does not know is refused by its name", () => {
  const { status, stderr } = cluster(["down", "--now"]);
  expect(status).toBe(1);
  expect(stderr).toContain("Unknown option '--now'");
});

test("a cache that is no absolute path is refused", () => {
  expect(() => readSettings({ XDG_CACHE_HOME: "cache" })).toThrow("XDG_CACHE_HOME is cache: it must be an absolute path");
  expect(readSettings({ HOME: "/home/a" })).toEqual({ cache: "/home/a/.cache/leaf/cluster", kubeconfig: undefined });
});
