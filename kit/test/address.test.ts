import { describe, expect, it } from "vitest";
import { type Address, formatAddress, isLoopback, parseAddress, parseTarget } from "../address.ts";

describe("addresses", () => {
  it.each<[string, Address | undefined]>([
    ["unix:/run/x.sock", { kind: "unix", path: "/run/x.sock" }],
    ["http://127.0.0.1:80", { kind: "tcp", host: "127.0.0.1", port: 80 }],
    ["http://localhost:7433/", { kind: "tcp", host: "localhost", port: 7433 }],
    ["[::1]:0", { kind: "tcp", host: "::1", port: 0 }],
    ["host:65535", { kind: "tcp", host: "host", port: 65535 }],
    ["unix:relative.sock", undefined],
    ["host", undefined],
    ["host:65536", undefined],
    ["host:-1", undefined],
    ["https://host:1", { kind: "tcp", host: "host", port: 1, tls: true }],
    ["ftp://host:1", undefined],
    ["http://host:1/path", undefined],
    ["", undefined],
  ])("reads %j", (text, address) => {
    expect(parseAddress(text)).toEqual(address);
  });

  it.each([
    ["unix:/x/y", { address: { kind: "unix", path: "/x/y" }, prefix: "" }],
    ["https://host:1", { address: { kind: "tcp", host: "host", port: 1, tls: true }, prefix: "" }],
    ["http://host:1/", { address: { kind: "tcp", host: "host", port: 1 }, prefix: "" }],
    ["http://[::1]:1/v1/sandboxes/a.b-c/rpc/", { address: { kind: "tcp", host: "::1", port: 1 }, prefix: "/v1/sandboxes/a.b-c/rpc" }],
    ["host:1/path", undefined],
    ["http://host:1/a?b", undefined],
    ["http://host:1/a b", undefined],
    ["http://host/a", undefined],
  ])("reads where %j leads", (text, target) => {
    expect(parseTarget(text)).toEqual(target);
  });

  it("writes what it reads", () => {
    for (const text of ["unix:/a/b", "http://[::1]:9", "http://h:1", "https://h:1"]) {
      const address = parseAddress(text);
      expect(address && formatAddress(address)).toBe(text);
    }
  });

  it.each([
    ["unix:/x", true],
    ["127.0.0.1:1", true],
    ["127.9.9.9:1", true],
    ["localhost:1", true],
    ["[::1]:1", true],
    ["0.0.0.0:1", false],
    ["10.0.0.1:1", false],
    ["127.0.0.1.evil.example:1", false],
  ])("tells that %s is loopback: %s", (text, expected) => {
    const address = parseAddress(text);
    expect(address && isLoopback(address)).toBe(expected);
  });
});
