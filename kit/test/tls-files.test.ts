import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { parseAddress } from "../address.ts";
import { EnvReader } from "../env.ts";
import { createAuthority, temporaryDirectory } from "../testing/index.ts";
import { loadServerTls, readClientTls, readServerTls } from "../tls.ts";

const NAMES = { cert: "X_CERT", key: "X_KEY", clientCa: "X_CLIENT_CA", ca: "X_CA" };

let directory: string;
const path = (name: string): string => join(directory, name);

beforeEach(async () => {
  directory = await temporaryDirectory();
  const authority = await createAuthority();
  const { key, cert } = authority.issue("server");
  const files = { key, cert, ca: authority.ca, other: authority.issue("other").key, junk: "-----BEGIN JUNK-----\nhush\n" };
  for (const [name, text] of Object.entries(files)) await writeFile(path(name), text);
});

function server(listen: string, variables: Record<string, string>) {
  const env = new EnvReader(variables);
  const address = parseAddress(listen);
  if (address === undefined) throw new Error(listen);
  return env.done(
    readServerTls(env, address, { cert: env.file(NAMES.cert), key: env.file(NAMES.key), clientCa: env.file(NAMES.clientCa) }),
  );
}

function client(to: string, variables: Record<string, string>) {
  const env = new EnvReader(variables);
  return env.done(readClientTls(env, parseAddress(to), { ca: env.file(NAMES.ca), cert: env.file(NAMES.cert), key: env.file(NAMES.key) }));
}

describe("a server's TLS files", () => {
  it("are none where none is set", () => {
    expect(server("127.0.0.1:1", {})).toBeUndefined();
  });

  it("are read whole", () => {
    const files = server("127.0.0.1:1", { X_CERT: path("cert"), X_KEY: path("key"), X_CLIENT_CA: path("ca") });
    if (files === undefined) throw new Error("they are set");
    expect(loadServerTls(files)).toEqual({
      cert: expect.any(String),
      key: expect.any(String),
      clientCa: expect.stringContaining("BEGIN CERT"),
    });
  });

  it("are refused with the variable and what to do", () => {
    const [X_CERT, X_KEY] = [path("cert"), path("key")];
    expect(() => server("127.0.0.1:1", { X_CERT })).toThrow("X_KEY is not set: a certificate and its key go together");
    expect(() => server("127.0.0.1:1", { X_CLIENT_CA: path("ca") })).toThrow("X_CERT is not set: X_CLIENT_CA needs the server's own");
    expect(() => server("127.0.0.1:1", { X_CERT: path("none"), X_KEY })).toThrow(/X_CERT: .*none can't be read \(ENOENT\)/);
    expect(() => server("127.0.0.1:1", { X_CERT: path("key"), X_KEY })).toThrow(/X_CERT: .*must hold a certificate as PEM/);
    expect(() => server("127.0.0.1:1", { X_CERT, X_KEY: path("junk") })).toThrow(
      /X_KEY: .*must hold a private key without a passphrase as PEM/,
    );
    expect(() => server("127.0.0.1:1", { X_CERT, X_KEY: path("junk") })).not.toThrow("hush");
    expect(() => server("127.0.0.1:1", { X_CERT, X_KEY: path("other") })).toThrow(
      "X_KEY: the key does not belong to the certificate in X_CERT",
    );
    expect(() => server("127.0.0.1:1", { X_CERT, X_KEY, X_CLIENT_CA: path("junk") })).toThrow(/X_CLIENT_CA: .*must hold a certificate/);
    expect(() => server("unix:/x", { X_CERT, X_KEY })).toThrow("a Unix socket needs no TLS");
    expect(() => server("https://127.0.0.1:1", {})).toThrow("X_CERT and X_KEY are not set: an https address needs both");
  });

  it("are refused where the certificate has expired", () => {
    vi.useFakeTimers({ now: Date.now() + 3 * 24 * 3_600_000, toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    expect(() => server("127.0.0.1:1", { X_CERT: path("cert"), X_KEY: path("key") })).toThrow(/X_CERT: the certificate expired on \d{4}-/);
  });
});

describe("a client's TLS files", () => {
  it("may be an authority alone, a pair alone, or both", () => {
    expect(client("https://h:1", {})).toBeUndefined();
    expect(Object.keys(client("https://h:1", { X_CA: path("ca") }) ?? {})).toEqual(["ca"]);
    expect(Object.keys(client("https://h:1", { X_CERT: path("cert"), X_KEY: path("key") }) ?? {})).toEqual(["cert", "key"]);
  });

  it("are refused where a half is missing, or nothing is encrypted", () => {
    expect(() => client("https://h:1", { X_KEY: path("key") })).toThrow("X_CERT is not set");
    for (const to of ["http://h:1", "unix:/x"]) expect(() => client(to, { X_CA: path("ca") })).toThrow("X_CA needs an https:// address");
  });
});
