import { Resolver } from "node:dns/promises";
import { expect, test } from "vitest";
import { DnsSandboxes, parseDnsName } from "../../pool/dns-sandboxes.ts";
import { nameServer, type Records } from "./name-server.ts";

/** What a name leads to, asked of a name server of the test's own. */
async function lookUp(text: string, names: Map<string, Records | "broken">, tls = false) {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([await nameServer(names)]);
  const name = parseDnsName(text);
  if (name === undefined) throw new Error(`no name: ${text}`);
  const sandboxes = new DnsSandboxes({ ...name, tls }, resolver, 0);
  const look = async () => {
    await sandboxes.look();
    return sandboxes.found().map(({ name: each, address, tenant }) => [each, address, tenant]);
  };
  return { look, sandboxes };
}

test("each address of a name is a sandbox, and they come and go with its records", async () => {
  const names = new Map<string, Records | "broken">([["hands.test", { a: ["10.0.0.7", "10.0.0.8"], aaaa: ["fd00:0:0:0:0:0:0:9"] }]]);
  const { look, sandboxes } = await lookUp("hands.test:7434", names);
  expect(await look()).toEqual([
    ["10.0.0.7", "http://10.0.0.7:7434", ""],
    ["10.0.0.8", "http://10.0.0.8:7434", ""],
    ["ip6-fd00--9", "http://[fd00::9]:7434", ""],
  ]);
  names.set("hands.test", { a: ["10.0.0.8"] });
  expect(await look()).toEqual([["10.0.0.8", "http://10.0.0.8:7434", ""]]);
  names.set("hands.test", "broken");
  await expect(look()).rejects.toMatchObject({ code: "ESERVFAIL" });
  expect(sandboxes.found()).toHaveLength(1);
  names.delete("hands.test");
  expect(await look()).toEqual([]);
});

test("each target of a name's SRV records is a sandbox that is named by its first label", async () => {
  const srv = [
    { target: "sandbox-0.hands.test", port: 7434 },
    { target: "sandbox-1.hands.test", port: 7435 },
  ];
  const { look } = await lookUp("_hands._tcp.hands.test", new Map([["_hands._tcp.hands.test", { srv }]]), true);
  expect((await look()).toSorted()).toEqual([
    ["sandbox-0", "https://sandbox-0.hands.test:7434", ""],
    ["sandbox-1", "https://sandbox-1.hands.test:7435", ""],
  ]);
});

test.each(["", "hands", "hands:0", "hands:70000", "hands:x", "_hands._tcp.x:80", "a b:80", "-a:80", "user@a:80", "a..:80"])(
  "%j is no name with sandboxes",
  (text) => expect(parseDnsName(text)).toBeUndefined(),
);
