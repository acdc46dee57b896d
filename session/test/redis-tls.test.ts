import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@serverless-harness/kit/env";
import { createAuthority, temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { openLeafStore } from "../index.ts";
import { claim, delta, done, follow, submit, words } from "../testing/build.ts";
import { freePort, RedisServer } from "../testing/redis-server.ts";

const PASSWORD = "not-to-be-told";

/** A Redis that speaks TLS on one port and nothing on the other, and the files of its clients. */
interface Place {
  /** Address of the TLS port, with what belongs behind the question mark. */
  readonly url: (parameters?: string) => string;
  readonly port: number;
  readonly plainPort: number;
  /** Its authority, a client's certificate and key of it; the same of another authority. */
  readonly ca: string;
  readonly client: string;
  readonly otherCa: string;
  readonly otherClient: string;
}

async function place(clients: "yes" | "no" = "no"): Promise<Place> {
  const directory = await temporaryDirectory();
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory, name), text);
    return join(directory, name);
  };
  const [own, other] = [await createAuthority(), await createAuthority()];
  const identity = async (name: string, { cert, key }: { cert: string; key: string }): Promise<[string, string]> => [
    await write(`${name}.pem`, cert),
    await write(`${name}.key`, key),
  ];
  const ca = await write("ca.pem", own.ca);
  const [cert, key] = await identity("server", own.issue("redis"));
  const [clientCert, clientKey] = await identity("client", own.issue("client"));
  const [otherCert, otherKey] = await identity("other", other.issue("client"));
  const port = await freePort();
  const files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca];
  const server = await RedisServer.start(
    "--bind",
    "127.0.0.1 127.0.0.2",
    "--tls-port",
    `${port}`,
    ...files,
    "--tls-auth-clients",
    clients,
    "--requirepass",
    PASSWORD,
  );
  onTestFinished(() => server[Symbol.asyncDispose]());
  return {
    url: (parameters) => `rediss://:${PASSWORD}@localhost:${port}${parameters === undefined ? "" : `?${parameters}`}`,
    port,
    plainPort: server.port,
    ca,
    client: `cert=${clientCert}&key=${clientKey}`,
    otherCa: await write("other-ca.pem", other.ca),
    otherClient: `cert=${otherCert}&key=${otherKey}`,
  };
}

async function failure(url: string): Promise<string> {
  const error = await openLeafStore(url).then(
    (store) => store.close(),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  const text = error instanceof ConfigError ? `${error.message} ${error.stack}` : "";
  expect(text).not.toMatch(new RegExp(`${PASSWORD}|PRIVATE KEY`));
  return text;
}

async function works(url: string): Promise<void> {
  const store = await openLeafStore(url);
  onTestFinished(() => store.close());
  const { leafId } = await submit(store);
  const following = follow(store, leafId);
  const held = await claim(store);
  await store.append(held, [delta("hi")]);
  await store.finish(held, done("hi"), []);
  expect(words(await following)).toEqual(["queued", "running", "hi", "done"]);
}

test("a store is used over TLS with the authority that its address names, by name and by number", async () => {
  const { url, ca } = await place();
  await works(url(`ca=${ca}`));
  await works(url(`ca=${ca}&prefix=other`).replace("localhost", "127.0.0.1"));
});

test("an authority that the system does not know is asked for, and a wrong one is told", async () => {
  const { url, otherCa } = await place();
  expect(await failure(url())).toContain("name the authority of its certificate: ?ca=/absolute/file");
  expect(await failure(url(`ca=${otherCa}`))).toContain("its certificate is of another authority than ?ca= names");
});

test("a host that the certificate is not for is told", async () => {
  const { url, ca } = await place();
  expect(await failure(url(`ca=${ca}`).replace("localhost", "127.0.0.2"))).toContain("its certificate is for other names");
});

test("redis: against a port of TLS, and rediss: against one without, say which is wrong", async () => {
  const { url, port, plainPort, ca } = await place();
  expect(await failure(url().replace("rediss:", "redis:"))).toContain("redis: against rediss:");
  expect(await failure(url(`ca=${ca}`).replace(`:${port}`, `:${plainPort}`))).toContain("redis: against rediss:");
});

test("a client's certificate is shown where it is asked for", async () => {
  const { url, ca, client, otherClient } = await place("yes");
  await works(url(`ca=${ca}&${client}`));
  expect(await failure(url(`ca=${ca}`))).toContain("?cert=/absolute/file&key=/absolute/file");
  expect(await failure(url(`ca=${ca}&${otherClient}`))).toContain("and the certificate that it asks for");
});

test("a wrong password is told over TLS as well, and not repeated", async () => {
  const { url, ca } = await place();
  expect(await failure(url(`ca=${ca}`).replace(PASSWORD, "wrong"))).toContain("refuses the user or the password");
});

test("files that can't be used are named before anything is connected", async () => {
  const { url, ca, client } = await place();
  expect(await failure(url("ca=/nowhere/ca.pem"))).toContain("redis address, ca: /nowhere/ca.pem can't be read (ENOENT)");
  const key = new URLSearchParams(client).get("key") ?? "";
  expect(await failure(url(`ca=${key}`))).toContain("must hold a certificate as PEM");
  const wrongKey = client.replace("client.key", "server.key");
  expect(await failure(url(`ca=${ca}&${wrongKey}`))).toContain("the key does not belong to the certificate");
});

test.each([
  ["rediss://host?ca=relative.pem", "has a ca that is no absolute path"],
  ["rediss://host?cert=/a.pem", "needs both of cert and key, or none"],
  ["redis://host?ca=/a.pem", "must begin with rediss:"],
])("the address %j is refused", async (url, message) => {
  expect(await failure(url)).toContain(message);
});
