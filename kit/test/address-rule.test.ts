import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";
import { isInNetwork, NOT_PUBLIC_IPV4, notPublic, parseNetwork } from "../address-ranges.ts";
import { AddressRule, readAllowedHosts } from "../address-rule.ts";
import { startServer } from "../testing/server.ts";

const RULE = fileURLToPath(new URL("../address-rule.ts", import.meta.url));

function rule(allowed = ""): AddressRule {
  const hosts = readAllowedHosts(allowed);
  if (typeof hosts === "string") throw new Error(hosts);
  return new AddressRule(hosts, "ALLOWED");
}

describe("public addresses", () => {
  it.each([
    ["127.0.0.1", "loopback"],
    ["127.255.255.254", "loopback"],
    ["0.0.0.0", "this machine"],
    ["10.255.255.53", "private"],
    ["172.16.0.1", "private"],
    ["172.31.255.255", "private"],
    ["192.168.1.1", "private"],
    ["100.100.100.200", "private"],
    ["169.254.169.254", "metadata"],
    ["168.63.129.16", "metadata"],
    ["192.0.0.192", "reserved"],
    ["224.0.0.1", "multicast"],
    ["255.255.255.255", "reserved"],
    ["::", "this machine"],
    ["::1", "loopback"],
    ["::127.0.0.1", "this machine"],
    ["::ffff:127.0.0.1", "loopback"],
    ["::ffff:a9fe:a9fe", "metadata"],
    ["0:0:0:0:0:ffff:0a00:0001", "private"],
    ["64:ff9b::10.0.0.1", "private"],
    ["64:ff9b::a9fe:a9fe", "metadata"],
    ["64:ff9b:1::1", "private"],
    ["2002:7f00:1::", "tunnel"],
    ["2001:0:1::1", "tunnel"],
    ["fd00:ec2::254", "private"],
    ["fe80::1", "link-local"],
    ["fe80::1%eth0", "link-local"],
    ["fec0::1", "private"],
    ["ff02::1", "multicast"],
    ["example.org", "no address"],
  ])("do not include %s, which is called %s", (address, what) => {
    expect(notPublic(address)).toContain(what);
  });

  it.each(["1.1.1.1", "203.0.113.1", "172.15.255.255", "172.32.0.0", "100.128.0.0", "2606:4700::1111", "2001:db8::1", "64:ff9b::1.1.1.1"])(
    "include %s, also in IPv6's form",
    (address) => {
      expect(notPublic(address)).toBeUndefined();
      if (!address.includes(":")) expect(notPublic(`::ffff:${address}`)).toBeUndefined();
    },
  );

  it("are told apart by networks that all can be read", () => {
    for (const network of NOT_PUBLIC_IPV4) {
      const parsed = parseNetwork(network);
      expect(parsed !== undefined && isInNetwork(network.split("/")[0] ?? "", parsed), network).toBe(true);
    }
  });
});

describe("the rule for hosts", () => {
  it.each([
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "[::1]",
    "::1",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "１２７.0.0.1",
    "%31%32%37.0.0.1",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[fe80::1%25lo]",
  ])("refuses %s, with and without a name server, and says how to allow it", async (host) => {
    const refusal = { reason: expect.stringMatching(/^(address_refused|invalid_argument)$/) };
    await expect(rule().addresses(host)).rejects.toMatchObject(refusal);
    expect(() => rule().checkName(host)).toThrow(/which may not be reached: .* allow this one in ALLOWED|is no host/);
  });

  it.each(["", "a b", "a/b", "user@host", "host:80", "[::1", "a\\b"])("takes no other part of a URL for a host: %j", async (host) => {
    await expect(rule().addresses(host)).rejects.toMatchObject({ reason: "invalid_argument" });
  });

  it("returns the address of a public host in its regular form", async () => {
    expect(await rule().addresses("203.0.113.7")).toEqual([{ address: "203.0.113.7", family: 4 }]);
    expect(await rule().addresses("0xcb007107")).toEqual([{ address: "203.0.113.7", family: 4 }]);
    expect(await rule().addresses("[2001:db8::7]")).toEqual([{ address: "2001:db8::7", family: 6 }]);
  });

  it("lets through what is allowed by name, by address and by network, and nothing beside it", async () => {
    const some = rule("localhost, 10.1.0.0/16 192.168.1.7,fd00::/8");
    expect((await some.addresses("localhost")).length).toBeGreaterThan(0);
    for (const host of ["10.1.255.1", "192.168.1.7", "[fd12::1]", "[::ffff:10.1.0.1]"]) expect(await some.addresses(host)).toHaveLength(1);
    for (const host of ["127.0.0.1", "10.2.0.1", "192.168.1.8", "[fe80::1]"])
      await expect(some.addresses(host)).rejects.toMatchObject({
        reason: "address_refused",
        metadata: { host: host.replace(/[[\]]/g, "") },
      });
  });

  it.each(["*.corp", "10.0.0.0/33", "10.0.0.0/8/8", "host:80", "http://host", "-a"])("names an entry that allows nothing: %j", (entry) => {
    expect(readAllowedHosts(`good.example, ${entry}`)).toContain(JSON.stringify(entry));
  });

  it("judges a name by all of its addresses, of which one that is not public is enough", () => {
    const directory = mkdtempSync(join(tmpdir(), "hosts-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const hosts = join(directory, "hosts");
    writeFileSync(
      hosts,
      "203.0.113.5 outside.example mixed.example\n169.254.169.254 mixed.example meta.example\n::ffff:10.0.0.1 v6.example\n",
    );
    const script = `
      const { AddressRule } = await import(process.argv[1]);
      const rule = new AddressRule({ names: new Set(), networks: [] }, "ALLOWED");
      const told = {};
      for (const name of ["outside", "mixed", "meta", "v6"]) {
        told[name] = await rule.addresses(name + ".example").then((found) => found.map(({ address }) => address), (error) => error.reason);
      }
      console.log(JSON.stringify(told));`;
    const inside = ["--bind", "/", "/", "--dev", "/dev", "--ro-bind", hosts, "/etc/hosts", "--unshare-net"];
    const run = spawnSync("bwrap", [...inside, process.execPath, "--input-type=module", "-e", script, RULE], { encoding: "utf8" });
    expect(run.stderr).toBe("");
    const refused = "address_refused";
    expect(JSON.parse(run.stdout)).toEqual({ outside: ["203.0.113.5"], mixed: refused, meta: refused, v6: refused });
  });

  it("is asked by a client for the addresses that it connects to", async () => {
    const { server } = await startServer({ routes: () => undefined });
    const port = server.address.kind === "tcp" ? server.address.port : 0;
    const ask = (by: AddressRule): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const request = get({ host: "localhost", port, lookup: by.lookup }, (response) => resolve(response.resume().statusCode));
        request.on("error", reject);
      });
    await expect(ask(rule())).rejects.toMatchObject({ cause: { reason: "address_refused" } });
    expect(await ask(rule("localhost"))).toBe(404);
  });
});
