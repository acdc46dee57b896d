import { request } from "node:http";
import { join } from "node:path";
import type { Operation } from "@serverless-harness/kit/hands-claims";
import { expect, test } from "vitest";
import { type Daemon, mintToken, startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { addressIn } from "./support.ts";

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** GET over the daemon's socket. */
function get(daemon: Daemon, path: string, token?: string): Promise<Answer> {
  const headers = { connection: "close", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: join(daemon.base, "socket", "hands.sock"), path, headers }, (response) => {
      let text = "";
      response.on("data", (data) => (text += data)).on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asked.on("error", reject).end();
  });
}

const metricsToken = (daemon: Daemon, operations: readonly Operation[] = ["metrics"]) => mintToken(daemon.base, { scopes: [], operations });

test("metrics need a token that names them; health needs none", async () => {
  const daemon = await startDaemon();
  await daemon.connect();
  expect((await get(daemon, "/healthz")).status).toBe(200);
  expect((await get(daemon, "/metrics")).status).toBe(401);
  expect((await get(daemon, "/metrics", await daemon.token())).status).toBe(403);
  expect((await get(daemon, "/metrics", await metricsToken(daemon, ["exec"]))).status).toBe(403);
  expect((await get(daemon, "/metrics", await metricsToken(daemon))).status).toBe(200);
});

test("metrics tell what ran and what is open, and name no workspace and no command", async () => {
  const daemon = await startDaemon();
  const workspace = await daemon.connect();
  expect((await follow(workspace, "head -c 1000 /dev/zero; exit 3").handle.ended).exitCode).toBe(3);
  const running = follow(workspace, "echo up; sleep 66");
  await running.until(() => running.text() === "up\n");
  const { text } = await get(daemon, "/metrics", await metricsToken(daemon));
  const value = (line: string) =>
    Number(
      text
        .split("\n")
        .find((one) => one.startsWith(`${line} `))
        ?.split(" ")[1],
    );
  expect(value('hands_execs_ended_total{cause="exited"}')).toBe(1);
  expect(value('hands_execs_ended_total{cause="lost"}')).toBe(0);
  expect(value("hands_exec_output_bytes_total")).toBe(1000);
  expect(value("hands_execs_open")).toBe(1);
  expect(value("hands_channels_open")).toBe(1);
  expect(value("hands_terminals_open")).toBe(0);
  expect(value("hands_workspaces")).toBe(1);
  expect(value('rpc_duration_seconds_count{service="harness.hands.v1.WorkspaceService",method="Create",code="ok"}')).toBe(1);
  expect(text).not.toMatch(/acme|followed|sleep/);
});

test("while it drains, /healthz says 503 and what runs goes on", async () => {
  const daemon = await startDaemon({ HANDS_GRACE_MS: "60000" });
  const workspace = await daemon.connect();
  const running = follow(workspace, "echo up; while [ ! -e go ]; do sleep 0.01; done; echo done");
  await running.until(() => running.text() === "up\n");
  daemon.process.kill("SIGTERM");
  while ((await get(daemon, "/healthz")).status !== 503) await new Promise((resolve) => setImmediate(resolve));
  await workspace.write("go", new Uint8Array(), { changeId: "go" });
  await running.handle.ended;
  expect(running.text()).toBe("up\ndone\n");
  expect((await daemon.gone).code).toBe(0);
});

test("on an address of their own health and metrics need no token, in the jail too, and nothing else is there", async () => {
  const daemon = await startDaemon({ HANDS_SANDBOX: "bwrap", HANDS_METRICS_LISTEN: "127.0.0.1:0" });
  await daemon.connect();
  const { origin } = await addressIn(daemon, "metrics are served");
  expect((await fetch(`${origin}/healthz`)).status).toBe(200);
  expect(await (await fetch(`${origin}/metrics`)).text()).toContain("hands_workspaces 1");
  const rpc = await fetch(`${origin}/harness.hands.v1.WorkspaceService/List`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: "{}",
  });
  expect([rpc.status, await rpc.json()]).toEqual([404, expect.objectContaining({ code: "unimplemented" })]);
  await expect(fetch(`${origin}/healthz`, { method: "DELETE" }).then(({ status }) => status)).resolves.toBe(405);
});

test.each([
  [{ HANDS_METRICS_LISTEN: "unix:/x" }, "HANDS_METRICS_LISTEN"],
  [{ HANDS_METRICS_LISTEN: "https://127.0.0.1:1" }, "HANDS_METRICS_LISTEN"],
  [
    { HANDS_METRICS_LISTEN: "127.0.0.1:1", HANDS_NETWORK: "none", HANDS_SANDBOX: "bwrap" },
    "HANDS_NETWORK=none allows no port in HANDS_METRICS_LISTEN",
  ],
])("an address of metrics that can't be used is told: %j", async (variables, message) => {
  const daemon = await startDaemon(variables);
  expect((await daemon.gone).code).toBe(64);
  expect(daemon.log()).toContain(message);
});
