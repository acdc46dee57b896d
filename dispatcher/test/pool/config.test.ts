import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@serverless-harness/kit/env";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, test } from "vitest";
import { readConfig } from "../../config.ts";

const read = (env: Readonly<Record<string, string>>) =>
  readConfig({ LEAF_STORE: "sqlite:/tmp/leaf.db", DISPATCHER_LISTEN: "unix:/tmp/leaf.sock", ...env });
const problemOf = (env: Readonly<Record<string, string>>): string => {
  try {
    read(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "none";
};

test("there is a pool if brains are told so, or if it is said where sandboxes are, and none by default", async () => {
  const path = join(await temporaryDirectory(), "sandboxes.json");
  await writeFile(path, '[{"name": "a", "address": "unix:/run/a.sock"}]');
  expect(read({}).pool).toBeUndefined();
  expect(read({ HANDS_URL: "unix:/run/hands.sock" }).pool).toBeUndefined();
  expect(read({ HANDS_URL: "pool" })).toMatchObject({
    pool: { whereabouts: { kind: "nowhere" }, askMs: 1000, aliveMs: 3000, capacity: 0 },
  });
  expect(read({ HANDS_URL: "pool" }).sandbox).toBeUndefined();
  expect(read({ DISPATCHER_SANDBOXES: path }).pool?.whereabouts).toEqual({ kind: "file", path });
  expect(read({ DISPATCHER_SANDBOXES: "dns:hands.ns.svc.cluster.local:7434" }).pool?.whereabouts).toEqual({
    kind: "dns",
    name: { host: "hands.ns.svc.cluster.local", port: 7434, tls: false },
  });
  expect(read({ DISPATCHER_SANDBOXES: "kubernetes:harness/sandbox:7434" }).pool?.whereabouts).toEqual({
    kind: "kubernetes",
    service: { namespace: "harness", service: "sandbox", port: 7434, tls: false },
  });
  const list = [{ name: "a", address: "https://relay:7433/v1/sandboxes/a/rpc", tenant: "acme" }];
  expect(read({ DISPATCHER_SANDBOXES: JSON.stringify(list) }).pool?.whereabouts).toEqual({ kind: "list", sandboxes: list });
});

test.each([
  ["a pool beside one sandbox", { HANDS_URL: "unix:/a", DISPATCHER_SANDBOXES: "[]" }, ["HANDS_URL names one sandbox"]],
  [
    "a file that is not there",
    { DISPATCHER_SANDBOXES: "/nowhere/a.json" },
    ["DISPATCHER_SANDBOXES: /nowhere/a.json can't be read (ENOENT)"],
  ],
  ["a directory", { DISPATCHER_SANDBOXES: "/tmp" }, ["must be a JSON list, the absolute path"]],
  ["a word", { DISPATCHER_SANDBOXES: "everywhere" }, ["must be a JSON list, the absolute path"]],
  ["a list that is cut", { DISPATCHER_SANDBOXES: "[{" }, ["it must be a JSON list"]],
  [
    "sandboxes that are none",
    { DISPATCHER_SANDBOXES: '[7, {"name": "../x", "address": "ftp://a", "tenant": "a b", "labels": "c"}]' },
    ["[0].name", "[0].address", "[1].name", "[1].address", "[1].tenant", "[1].labels: must be one of name, address, tenant"],
  ],
  [
    "two of one name and one address",
    { DISPATCHER_SANDBOXES: '[{"name": "a", "address": "http://a:1"}, {"name": "a", "address": "http://a:1"}]' },
    ["[1].name: is another sandbox's too", "[1].address: is another sandbox's too"],
  ],
  [
    "times that do not fit",
    { HANDS_URL: "pool", DISPATCHER_SANDBOX_ASK_MS: "2000", DISPATCHER_SANDBOX_ALIVE_MS: "3000" },
    ["DISPATCHER_SANDBOX_ALIVE_MS is 3000: it must be at least twice DISPATCHER_SANDBOX_ASK_MS"],
  ],
  ["an own address that nobody can call", { HANDS_URL: "pool", DISPATCHER_OWN_URL: "unix:/a" }, ["DISPATCHER_OWN_URL"]],
  ["a capacity below nothing", { HANDS_URL: "pool", DISPATCHER_SANDBOX_CAPACITY: "-1" }, ["DISPATCHER_SANDBOX_CAPACITY"]],
])("%s is refused with what is wrong", (_, env, problems) => {
  const told = problemOf(env);
  for (const problem of problems) expect(told).toContain(problem);
});
