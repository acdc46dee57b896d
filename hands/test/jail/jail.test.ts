import { readdirSync, readlinkSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, hostname } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { childrenOf, isSameProcess, pidNamespace, processStartTicks } from "@serverless-harness/kit/proc";
import { createTransport } from "@serverless-harness/kit/transport";
import { EndCause, TerminalService } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import type { WorkspaceClient } from "../../client/index.ts";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { innermost } from "../fixtures/innermost.ts";
import { WORKSPACE } from "../fixtures/sandbox.ts";

const SECRET = "a secret of the host";

/** What a command prints, in the jail. */
async function output(workspace: WorkspaceClient, command: string): Promise<string> {
  const followed = follow(workspace, command);
  expect((await followed.handle.ended).cause).toBe(EndCause.EXITED);
  return followed.text();
}

const startJailed = (variables: Record<string, string> = {}) => startDaemon({ HANDS_SANDBOX: "bwrap", HOST_SECRET: SECRET, ...variables });

test("a command has process ids of its own, and sees neither the host's processes nor the daemon", async () => {
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  const inside = (await output(workspace, "readlink /proc/self/ns/pid")).trim();
  expect(inside).toMatch(/^pid:\[\d+\]$/);
  expect(inside).not.toBe(pidNamespace());
  expect(inside).not.toBe(readlinkSync(`/proc/${innermost(daemon.process)}/ns/pid`));
  const lines = await output(workspace, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
  expect(lines).not.toContain("vitest");
  expect(lines).not.toContain("main.mjs");
  expect(await output(workspace, "hostname")).toBe("sandbox\n");
  expect(hostname()).not.toBe("sandbox");
});

test("a command finds no file of the host's people, and nothing of the daemon's", async () => {
  const marker = await mkdtemp(join(homedir(), ".harness-jail-"));
  onTestFinished(() => rm(marker, { recursive: true }));
  await writeFile(join(marker, "private"), SECRET);
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  await output(workspace, "true");
  const searched = await output(
    workspace,
    `cat ${join(marker, "private")} ${daemon.base}/keys/hands.key ${daemon.base}/state/*/*/*/* 2>&1
     ls -A ${homedir()} /root /run /run/hands /var /srv /mnt /media /etc/shadow /etc/ssh 2>&1
     find / -xdev \\( -name 'hands.key' -o -name 'hands.pub' -o -name 'hands.sock' -o -name 'execs.jsonl' -o -name 'leaf.db' -o -name main.mjs \\) 2>/dev/null
     true`,
  );
  expect(searched).not.toContain(SECRET);
  expect(searched).not.toMatch(/BEGIN|hands\.key$|hands\.sock|execs\.jsonl|main\.mjs/m);
  const environments = await output(
    workspace,
    "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; grep -a -l HOST_SECRET /proc/*/environ 2>/dev/null; true",
  );
  expect(environments).not.toContain(SECRET);
  expect(environments).not.toContain("HANDS_PUBLIC_KEY_FILE");
  expect(environments).not.toContain("HANDS_STATE");
});

test("a command writes to workspaces, home and /tmp only, and to nothing of the host", async () => {
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  const attempts = [
    "/usr/x",
    "/usr/local/x",
    "/etc/x",
    "/opt/x",
    "/bin/x",
    "/run/keeper/x",
    "/proc/sys/kernel/hostname",
    `${daemon.base}/x`,
    "/sys/x",
    "/x",
    "/home/x",
    "/run/x",
  ];
  for (const path of attempts)
    expect(await output(workspace, `(echo x > ${path}) 2>/dev/null && test -s ${path} && ! test -c ${path} && echo written; true`)).toBe(
      "",
    );
  expect(
    await output(
      workspace,
      `pwd; echo $HOME; echo $TMPDIR; echo x > in-workspace; echo x > ~/in-home; echo x > /tmp/in-tmp; cat ~/in-home /tmp/in-tmp`,
    ),
  ).toBe(`/workspaces/${WORKSPACE}\n/home/agent\n/tmp\nx\nx\n`);
  expect(await readFile(join(daemon.base, "workspaces", WORKSPACE, "in-workspace"), "utf8")).toBe("x\n");
  expect(readdirSync("/tmp")).not.toContain("in-tmp");
  expect(
    await output(workspace, "mount -t tmpfs none /mnt 2>&1; unshare -m true 2>&1; umount /run 2>&1; mknod /tmp/d b 8 0 2>&1; true"),
  ).toMatch(/denied|not permitted|must be superuser/);
});

test("what a command finds is enough to work with", async () => {
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  expect(
    await output(workspace, "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --format=%s"),
  ).toBe("x\n");
  expect(
    await output(
      workspace,
      "id -un; getent passwd 0 | cut -d: -f1; test -r /etc/resolv.conf && echo resolves; ls /etc/ssl/certs | head -1 | wc -l",
    ),
  ).toMatch(/^\w+\nroot\nresolves\n1\n$/);
  expect(
    await output(
      workspace,
      "echo x > /dev/stdout; echo y > /dev/stderr; test -c /dev/null && test -c /dev/urandom && ls /dev/pts >/dev/null && echo devices",
    ),
  ).toContain("devices");
});

test("terminals are in the jail for commands as well, and their environment is not the jail's", async () => {
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  await workspace.list(".");
  const transport = createTransport({
    address: { kind: "unix", path: join(daemon.base, "socket", "hands.sock") },
    token: await daemon.token(),
  });
  onTestFinished(() => transport.close());
  const terminals = createClient(TerminalService, transport);
  const target = { terminalId: "t", workspace: WORKSPACE, epoch: 5n };
  const script =
    "ls -A /run; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; readlink /proc/self/ns/pid; echo $MINE; tty; sleep 0.2; exit 3";
  await terminals.open({ ...target, argv: ["/bin/bash", "-c", script], env: { MINE: "mine", LD_PRELOAD: "/workspaces/none.so" } });
  let text = "";
  async function* requests() {
    yield { request: { case: "target" as const, value: target } };
    await new Promise(() => undefined);
  }
  for await (const { event } of terminals.attach(requests())) {
    if (event.case === "output") text += Buffer.from(event.value.data).toString();
    if (event.case === "ended") break;
  }
  expect(text).not.toContain("main.mjs");
  expect(text).not.toContain("socket");
  expect(text).toContain("mine");
  expect(text).not.toContain(pidNamespace());
});

test("orphans are reaped, so no zombie is left behind by a command", async () => {
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  await output(workspace, "for i in $(seq 20); do (sleep 0.01 &) ; done");
  // One that is never reaped keeps the command, and so the test, from ending.
  expect(await output(workspace, "while grep -qs ') Z ' /proc/[0-9]*/stat; do sleep 0.02; done; echo none")).toBe("none\n");
});

test("asked to stop, the jail exits with the daemon's own 0, and nothing is left", async () => {
  const daemon = await startJailed({ HANDS_GRACE_MS: "100" });
  const workspace = await daemon.connect();
  const running = follow(workspace, "echo up; (setsid sleep 63 &); sleep 63");
  await running.until(() => running.text() === "up\n");
  const members = treeOf(daemon.process.pid ?? 0);
  expect(members.length).toBeGreaterThan(4);
  daemon.process.kill("SIGTERM");
  expect((await running.handle.ended).cause).toBe(EndCause.SHUT_DOWN);
  expect(await daemon.gone).toEqual({ code: 0, signal: null });
  await untilAllGone(members);
});

test("killed, the supervisor takes the whole jail with it, and the next one reports what was lost", async () => {
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  const running = follow(workspace, "echo up; (setsid sleep 64 &); sleep 64", { execId: "running" });
  await running.until(() => running.text() === "up\n");
  const members = treeOf(daemon.process.pid ?? 0);
  daemon.process.kill("SIGKILL");
  await untilAllGone(members);
  await startDaemon({ HANDS_SANDBOX: "bwrap" }, daemon.base);
  expect((await running.handle.ended).cause).toBe(EndCause.LOST);
});

test("without a network a command reaches nobody", async () => {
  const daemon = await startJailed({ HANDS_NETWORK: "none" });
  const workspace = await daemon.connect();
  expect(await output(workspace, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '")).toBe("lo\n");
});

interface Member {
  readonly pid: number;
  readonly ticks: string;
}

function treeOf(pid: number): Member[] {
  return [{ pid, ticks: processStartTicks(pid) ?? "" }, ...childrenOf(pid).flatMap(treeOf)];
}

async function untilAllGone(members: readonly Member[]): Promise<void> {
  while (members.some(({ pid, ticks }) => isSameProcess(pid, ticks))) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("workspaces see nothing of each other: neither files, homes and temporary files nor processes", async () => {
  const daemon = await startJailed();
  const one = await daemon.connect();
  const other = await daemon.connect("acme/other");
  await output(one, "echo mine | tee file ~/home-file /tmp/tmp-file; nohup sleep 300 >/dev/null 2>&1 &");
  const seen = await output(
    other,
    `ls -A /workspaces /workspaces/* ~ /tmp; cat /workspaces/${WORKSPACE}/file 2>&1; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; pkill sleep; true`,
  );
  expect(seen).not.toMatch(/mine|home-file|tmp-file|300/);
  expect(await output(one, "cat file ~/home-file /tmp/tmp-file; pgrep -c sleep")).toBe("mine\nmine\nmine\n1\n");
  expect(await output(other, "pwd; touch here; ls; (touch /workspaces/x) 2>/dev/null || echo refused")).toBe(
    "/workspaces/acme/other\nhere\nrefused\n",
  );
});

test("a command whose workspace is deleted ends as cancelled, before its jail goes", async () => {
  const daemon = await startJailed();
  const workspace = await daemon.connect();
  const followed = follow(workspace, "echo up; sleep 100");
  await followed.until(() => followed.text() === "up\n");
  await workspace.delete();
  expect(await followed.handle.ended).toMatchObject({ cause: EndCause.CANCELLED, message: "its workspace was deleted" });
});
