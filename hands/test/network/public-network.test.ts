import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { childrenOf, commandLine, isSameProcess, processStartTicks } from "@serverless-harness/kit/proc";
import { temporaryDirectory } from "@serverless-harness/kit/testing";
import { EndCause } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import type { WorkspaceClient } from "../../client/index.ts";
import { type Daemon, startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { addRepository, METADATA, makeWorld, OWN, PRIVATE, PUBLIC, type World } from "./world.ts";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");

/** A daemon in its jail, on the machine of this world. */
function startIn(world: World, variables: Record<string, string> = {}): Promise<Daemon> {
  return startDaemon({ HANDS_SANDBOX: "bwrap", ...variables }, undefined, world.machine);
}

async function output(workspace: WorkspaceClient, command: string): Promise<string> {
  const followed = follow(workspace, command);
  expect((await followed.handle.ended).cause).toBe(EndCause.EXITED);
  return followed.text();
}

/** What the command for a host prints: the address that answered, or `refused`. */
const ask = (host: string): string =>
  `{ exec 3<>/dev/tcp/${host}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3; } 2>/dev/null || echo refused`;

/** Connect by the device, past the routes that would have been taken. */
const ASK_BY_DEVICE = `
import socket, sys
for host in sys.argv[1:]:
    s = socket.socket()
    try:
        s.setsockopt(socket.SOL_SOCKET, 25, b"tap0")
        s.connect((host, 80))
        print("reached", host)
    except OSError as error: pass
print("asked")
`;

/** Processes below the daemon that run this program. */
function runs(daemon: Daemon, program: string): number[] {
  const below = (pid: number): number[] => childrenOf(pid).flatMap((child) => [child, ...below(child)]);
  return below(daemon.process.pid ?? 0).filter((pid) => commandLine(pid)[0]?.endsWith(`/${program}`));
}

test("a command reaches public addresses by name and by number, and neither private ones nor anything of the machine's", async () => {
  const world = await makeWorld();
  const workspace = await (await startIn(world)).connect();
  expect(await output(workspace, ask(PUBLIC))).toBe(`hello from ${PUBLIC}\n`);
  expect(await output(workspace, ask("registry.example"))).toBe(`hello from ${PUBLIC}\n`);
  for (const host of [PRIVATE, METADATA, ...OWN, "127.0.0.1", "0.0.0.0", "10.0.2.2", "10.0.2.3", "[::1]", `[::ffff:${PRIVATE}]`])
    expect(await output(workspace, ask(host)), host).toBe("refused\n");
  await workspace.write("ask.py", Buffer.from(ASK_BY_DEVICE), { changeId: "ask" });
  expect(await output(workspace, `python3 ask.py ${PRIVATE} ${METADATA} ${OWN.join(" ")} 127.0.0.1 10.0.2.2 10.0.2.3 ${PUBLIC}`)).toBe(
    `reached ${PUBLIC}\nasked\n`,
  );
  // All of them are there to be reached.
  const shared = await (await startIn(world, { HANDS_NETWORK: "host" })).connect();
  for (const host of [PUBLIC, PRIVATE, METADATA, ...OWN, "127.0.0.1"]) expect(await output(shared, ask(host))).toBe(`hello from ${host}\n`);
});

test("a command can clone a repository of a public address", async () => {
  const world = await makeWorld();
  addRepository(world, "project");
  const workspace = await (await startIn(world)).connect();
  expect(await output(workspace, "git clone -q http://git.example/project.git && cat project/file")).toBe("of the repository\n");
});

test("what an operator allows is reached: a private address, a host's name, the machine's loopback", async () => {
  const world = await makeWorld();
  const some = await (await startIn(world, { HANDS_PRIVATE_HOSTS: `${PRIVATE}, 169.254.0.0/16` })).connect();
  for (const host of [PUBLIC, PRIVATE, METADATA]) expect(await output(some, ask(host))).toBe(`hello from ${host}\n`);
  for (const host of [...OWN, "10.0.2.2"]) expect(await output(some, ask(host)), host).toBe("refused\n");
  const loopback = await (await startIn(world, { HANDS_PRIVATE_HOSTS: "localhost" })).connect();
  expect(await output(loopback, ask("10.0.2.2"))).toBe("hello from 127.0.0.1\n");
  expect(await output(loopback, ask(PRIVATE))).toBe("refused\n");
});

test("a command can't change what it may reach", async () => {
  const world = await makeWorld();
  const workspace = await (await startIn(world)).connect();
  const tries = [
    "nft flush ruleset",
    "ip route add 10.0.0.0/8 dev lo",
    "ip link set tap0 down",
    "unshare --user --map-root-user nft flush ruleset",
  ];
  for (const command of tries)
    expect(await output(workspace, `PATH=$PATH:/usr/sbin:/sbin; ${command} >/dev/null 2>&1 && echo done; true`), command).toBe("");
  expect(await output(workspace, ask(PRIVATE))).toBe("refused\n");
  expect(await output(workspace, ask(PUBLIC))).toBe(`hello from ${PUBLIC}\n`);
});

test("a workspace has one loopback for all its commands, and none with another workspace", async () => {
  const daemon = await startIn(await makeWorld());
  const workspace = await daemon.connect();
  const server = follow(workspace, "python3 -u -m http.server 8000 --bind 127.0.0.1");
  await server.until(() => server.text().includes("Serving"));
  const look = "(exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null && echo there || echo none";
  expect(await output(workspace, look)).toBe("there\n");
  const other = await daemon.connect("acme/other");
  expect(await output(other, look)).toBe("none\n");
});

test("the user-mode network begins with a workspace's first command and ends with its jail, or with the daemon", async () => {
  const daemon = await startIn(await makeWorld(), { HANDS_JAILS: "1" });
  const one = await daemon.connect();
  expect(runs(daemon, "slirp4netns")).toEqual([]);
  await output(one, "true");
  const [first = 0, ...more] = runs(daemon, "slirp4netns");
  expect(more).toEqual([]);
  const ticks = processStartTicks(first) ?? "";
  // The one jail that may live is the other's now.
  const other = await daemon.connect("acme/other");
  await output(other, "true");
  while (isSameProcess(first, ticks)) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await output(one, ask(PUBLIC))).toBe(`hello from ${PUBLIC}\n`);
  const members = [...runs(daemon, "slirp4netns"), ...runs(daemon, "network")].map((pid) => ({ pid, ticks: processStartTicks(pid) ?? "" }));
  expect(members.length).toBeGreaterThanOrEqual(2);
  daemon.process.kill("SIGKILL");
  while (members.some(({ pid, ticks: started }) => isSameProcess(pid, started))) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("a user-mode network that was killed is started again, and the workspace reaches the world once more", async () => {
  const daemon = await startIn(await makeWorld());
  const workspace = await daemon.connect();
  expect(await output(workspace, ask(PUBLIC))).toBe(`hello from ${PUBLIC}\n`);
  const [killed = 0] = runs(daemon, "slirp4netns");
  process.kill(killed, "SIGKILL");
  expect(await output(workspace, `until [ "$(${ask(PUBLIC)})" != refused ]; do sleep 0.1; done; ${ask(PRIVATE)}`)).toBe("refused\n");
});

/**
 * Becomes a user without any privilege, whom the daemon's directories belong to, on a machine whose device is open to everybody as Debian has it: a
 * device file of the test's own. The repository may be where only root gets to.
 */
const AS_ANYBODY = `
repository=$1; own=$2; shift 2
mkdir "$own/repository" && mount --bind "$repository" "$own/repository"
mknod "$own/tun" c 10 200 && chmod 666 "$own/tun" && mount --bind "$own/tun" /dev/net/tun
chown -R 4242:4242 "\${HANDS_STATE%/state}"
for argument; do shift; case $argument in "$repository"/*) argument=$own/repository\${argument#"$repository"};; esac; set -- "$@" "$argument"; done
exec setpriv --reuid 4242 --regid 4242 --clear-groups "$@"
`;

test("it is the same for a daemon without any privilege", async () => {
  const world = await makeWorld();
  const own = await temporaryDirectory();
  chmodSync(own, 0o755);
  const around = [...world.machine, "sh", "-c", AS_ANYBODY, "sh", REPOSITORY, own];
  const workspace = await (await startDaemon({ HANDS_SANDBOX: "bwrap" }, undefined, around)).connect();
  expect(await output(workspace, "id -u")).not.toBe("0\n");
  expect(await output(workspace, ask("registry.example"))).toBe(`hello from ${PUBLIC}\n`);
  for (const host of [PRIVATE, METADATA, ...OWN, "127.0.0.1", "10.0.2.2"])
    expect(await output(workspace, ask(host)), host).toBe("refused\n");
  const flush = "unshare --user --map-root-user /usr/sbin/nft flush ruleset || /usr/sbin/nft flush ruleset";
  expect(await output(workspace, `(${flush}) >/dev/null 2>&1 && echo done; true`)).toBe("");
  expect(await output(workspace, ask(PRIVATE))).toBe("refused\n");
});

test("a machine that can't make such a network refuses to start, and says what to install and which other networks there are", async () => {
  // A jail around it hides the device.
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap" }, undefined, [
    "bwrap",
    "--bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--cap-add",
    "ALL",
  ]);
  expect((await daemon.gone).code).toBe(64);
  expect(daemon.log()).toMatch(/network of its own.*install slirp4netns.*\/dev\/net\/tun.*HANDS_NETWORK=none.*HANDS_NETWORK=host/);
  expect(spawnSync("test", ["-e", "/dev/net/tun"]).status).toBe(0);
});
