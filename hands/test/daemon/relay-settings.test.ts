import { expect, test } from "vitest";
import { readConfig } from "../../config.ts";

const read = (url: string) =>
  readConfig({
    HANDS_LISTEN: "unix:/x",
    HANDS_WORKSPACES: "/w",
    HANDS_STATE: "/s",
    HANDS_PUBLIC_KEY_FILE: "/k",
    HANDS_RELAY_TOKEN_FILE: "/t",
    HANDS_RELAY_URL: url,
  }).relay?.targets;

test("one relay or several are read, each with its path", () => {
  const at = (host: string) => ({ address: { kind: "tcp", host, port: 7433, tls: true }, prefix: "/v1/sandboxes/laptop/attach" });
  expect(read("https://one:7433/v1/sandboxes/laptop/attach")).toEqual([at("one")]);
  expect(read("https://one:7433/v1/sandboxes/laptop/attach, https://two:7433/v1/sandboxes/laptop/attach")).toEqual([at("one"), at("two")]);
});

test("each address that can't be used is named, with what it has to be", () => {
  const good = "https://one:7433/v1/sandboxes/laptop/attach";
  expect(() => read(`${good},https://two:7433`)).toThrow(/HANDS_RELAY_URL is "https:\/\/two:7433": it must be where a relay takes this/);
  expect(() => read(`${good},`)).toThrow(/HANDS_RELAY_URL is "": it must be/);
  expect(() => read(`${good},http://two:7433/v1/sandboxes/laptop/attach`)).toThrow(/HANDS_RELAY_URL must begin with https:/);
  expect(() => read(`${good}, ${good}`)).toThrow(`HANDS_RELAY_URL names "${good}" twice`);
});
