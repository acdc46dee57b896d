import { rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as tls from "node:tls";
import { Code } from "@connectrpc/connect";
import { createAuthority, temporaryDirectory } from "@serverless-harness/kit/testing";
import { expect, onTestFinished, test } from "vitest";
import { HandsClient, type HandsClientOptions } from "../../client/index.ts";
import { type Daemon, startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { EPOCH, WORKSPACE } from "../fixtures/sandbox.ts";
import { addressIn, mountSecret } from "./support.ts";

/** A daemon with mutual TLS, whose material is in a directory as Kubernetes mounts it. */
async function start(variables: Record<string, string> = {}) {
  const authority = await createAuthority();
  const directory = await temporaryDirectory();
  const files = await mountSecret(directory, authority.issue("hands"));
  const clientCa = join(await temporaryDirectory(), "ca.pem");
  await writeFile(clientCa, authority.ca);
  const daemon = await startDaemon({
    HANDS_LISTEN: "127.0.0.1:0",
    HANDS_TLS_CERT_FILE: files.cert,
    HANDS_TLS_KEY_FILE: files.key,
    HANDS_TLS_CLIENT_CA_FILE: clientCa,
    ...variables,
  });
  const { origin, address } = await addressIn(daemon);
  const identity = authority.issue("client");
  const connect = (options: Partial<HandsClientOptions>) => {
    const client = new HandsClient({ address: origin, patienceMs: 100, ...options });
    onTestFinished(() => client.close());
    return client.workspace(WORKSPACE, EPOCH);
  };
  const trusted = () => connect({ patienceMs: 10_000, token: () => daemon.token(), tls: { ca: authority.ca, ...identity } });
  /** The common name of the certificate that a new connection gets. */
  const served = () =>
    new Promise<string>((resolve, reject) => {
      const socket = tls.connect({ port: address.port, host: "127.0.0.1", ca: authority.ca, ...identity }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on("error", reject);
    });
  return { daemon, authority, directory, identity, origin, connect, trusted, served };
}

const untilLogged = async (daemon: Daemon, text: string): Promise<void> => {
  while (!daemon.log().includes(text)) await new Promise((resolve) => daemon.process.stdout?.once("data", resolve));
};

test("behind mutual TLS, in the jail, a client needs a certificate of the authority and a token all the same", async () => {
  const { daemon, authority, identity, connect, trusted } = await start({ HANDS_SANDBOX: "bwrap" });
  const workspace = trusted();
  await workspace.create();
  const echo = follow(workspace, "echo over TLS");
  await echo.handle.ended;
  expect(echo.text()).toBe("over TLS\n");
  const { ca } = authority;
  const stranger = (await createAuthority()).issue("client");
  const token = await daemon.token();
  await expect(connect({ tls: { ca, ...identity } }).list(".")).rejects.toMatchObject({ code: Code.Unauthenticated });
  await expect(connect({ token, tls: { ca } }).list(".")).rejects.toMatchObject({ code: Code.Unavailable });
  await expect(connect({ token, tls: { ca, ...stranger } }).list(".")).rejects.toMatchObject({ code: Code.Unavailable });
  await expect(connect({ token, tls: identity }).list(".")).rejects.toMatchObject({ code: Code.Unavailable });
});

test("in the jail no command finds the TLS key, wherever it looks", async () => {
  const { trusted, directory } = await start({ HANDS_SANDBOX: "bwrap" });
  const workspace = trusted();
  await workspace.create();
  const search = follow(
    workspace,
    `cat ${directory}/tls.key /run/hands/tls/*/* 2>&1; find / -name 'tls.key' -not -path '/proc/*' 2>/dev/null
     for p in /proc/[0-9]*; do ls $p/root/run/hands $p/cwd/../run/hands 2>/dev/null; cat $p/root${directory}/tls.key 2>/dev/null; done
     grep -rlsa 'PRIVATE KEY-----$' /workspaces /home /tmp /run /etc /var /root 2>/dev/null; echo searched`,
  );
  await search.handle.ended;
  expect(search.text()).toMatch(/No such file[\s\S]*\nsearched\n$/);
  expect(search.text().replaceAll(/^cat: .*$/gm, "")).not.toMatch(/BEGIN|tls\.key|hands/);
});

test.each(["bwrap", "process"])(
  "a renewed certificate is taken up while it runs, and one that can't be used is not: sandbox %s",
  async (sandbox) => {
    const { daemon, authority, directory, trusted, served } = await start({ HANDS_SANDBOX: sandbox });
    const workspace = trusted();
    await workspace.create();
    const running = follow(workspace, "echo up; while [ ! -e go ]; do sleep 0.01; done; echo done");
    await running.until(() => running.text() === "up\n");
    expect(await served()).toBe("hands");
    await mountSecret(directory, authority.issue("renewed"));
    await untilLogged(daemon, "certificate was renewed");
    expect(await served()).toBe("renewed");
    await mountSecret(directory, { ...authority.issue("broken"), key: authority.issue("another").key });
    await untilLogged(daemon, "goes on with those that it has");
    expect(await served()).toBe("renewed");
    await mountSecret(directory, authority.issue("mended"));
    while ((await served()) !== "mended") await untilLogged(daemon, "certificate was renewed");
    // The connection that was open all the time still is.
    await workspace.write("go", new Uint8Array(), { changeId: "go" });
    expect((await running.handle.ended).exitCode).toBe(0);
    expect(running.updates.filter(({ kind }) => kind === "started")).toHaveLength(1);
    expect(daemon.log()).not.toContain("PRIVATE");
  },
);

test("files behind links that lead out of their directory are shown to the jail all the same", async () => {
  const authority = await createAuthority();
  const [archive, live] = [await temporaryDirectory(), await temporaryDirectory()];
  const { key, cert } = authority.issue("hands");
  await writeFile(join(archive, "key1.pem"), key);
  await writeFile(join(archive, "cert1.pem"), cert);
  await symlink(join(archive, "key1.pem"), join(live, "key.pem"));
  await symlink(join(archive, "cert1.pem"), join(live, "cert.pem"));
  const daemon = await startDaemon({
    HANDS_SANDBOX: "bwrap",
    HANDS_LISTEN: "127.0.0.1:0",
    HANDS_TLS_CERT_FILE: join(live, "cert.pem"),
    HANDS_TLS_KEY_FILE: join(live, "key.pem"),
  });
  const { origin } = await addressIn(daemon);
  const client = new HandsClient({ address: origin, token: () => daemon.token(), tls: { ca: authority.ca } });
  onTestFinished(() => client.close());
  await client.workspace(WORKSPACE, EPOCH).create();
});

test("what is wrong with the files is told at the start, in words and with the variable, and the key itself never", async () => {
  const authority = await createAuthority();
  const directory = await temporaryDirectory();
  const path = (name: string) => join(directory, name);
  const { key, cert } = authority.issue("hands");
  await writeFile(path("key"), key);
  await writeFile(path("cert"), cert);
  await writeFile(path("other"), authority.issue("other").key);
  await rm(path("gone"), { force: true });
  const secret = key.split("\n")[1] ?? "";
  const cases: Array<[Record<string, string>, string]> = [
    [{ HANDS_TLS_CERT_FILE: path("cert") }, "HANDS_TLS_KEY_FILE is not set"],
    [{ HANDS_TLS_KEY_FILE: path("key") }, "HANDS_TLS_CERT_FILE is not set"],
    [{ HANDS_TLS_CERT_FILE: path("cert"), HANDS_TLS_KEY_FILE: path("gone") }, "HANDS_TLS_KEY_FILE"],
    [{ HANDS_TLS_CERT_FILE: path("cert"), HANDS_TLS_KEY_FILE: path("other") }, "does not belong"],
    [{ HANDS_LISTEN: "https://127.0.0.1:0" }, "HANDS_TLS_CERT_FILE and HANDS_TLS_KEY_FILE are not set"],
  ];
  for (const [variables, message] of cases) {
    const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap", HANDS_LISTEN: "127.0.0.1:0", ...variables });
    expect(await daemon.gone).toEqual({ code: 64, signal: null });
    expect(daemon.log()).toContain(message);
    expect(daemon.log()).not.toContain(secret);
  }
});
