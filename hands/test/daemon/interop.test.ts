import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createAuthority, temporaryDirectory } from "@serverless-harness/kit/testing";
import { ExecService, FileService, IdentityService, TerminalService, WorkspaceService } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { type Daemon, startDaemon } from "../fixtures/daemon.ts";
import { WORKSPACE } from "../fixtures/sandbox.ts";
import { addressIn, run } from "./support.ts";

const HAVE_BUF = "run npm ci, which installs it from @bufbuild/buf";
const HAVE_CURL = "install curl (Debian: apt-get install curl)";

/** A daemon on a port with TLS, in the jail, as an operator reaches it. */
async function start(): Promise<{ daemon: Daemon; origin: string; ca: string }> {
  const authority = await createAuthority();
  const directory = await temporaryDirectory();
  const { key, cert } = authority.issue("hands");
  const files = { "tls.key": key, "tls.crt": cert };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const ca = join(await temporaryDirectory(), "ca.pem");
  await writeFile(ca, authority.ca);
  const daemon = await startDaemon({
    HANDS_SANDBOX: "bwrap",
    HANDS_LISTEN: "127.0.0.1:0",
    HANDS_TLS_CERT_FILE: join(directory, "tls.crt"),
    HANDS_TLS_KEY_FILE: join(directory, "tls.key"),
  });
  return { daemon, origin: (await addressIn(daemon)).origin, ca };
}

interface Event {
  readonly event?: {
    readonly execId: string;
    readonly started?: unknown;
    readonly output?: { data: string };
    readonly ended?: { cause: string; exitCode?: number };
  };
}

/** What `buf curl` prints of a stream: one JSON value after the other, over several lines. */
function valuesIn<T>(text: string): T[] {
  return text
    .split(/(?<=^\})\n/m)
    .filter((part) => part.trim() !== "")
    .map((part) => JSON.parse(part) as T);
}

const outputOf = (events: readonly Event[], execId?: string) =>
  Buffer.concat(
    events.flatMap(({ event }) =>
      event?.output === undefined || event.execId !== (execId ?? event.execId) ? [] : [Buffer.from(event.output.data, "base64")],
    ),
  ).toString();

describe.each(["grpc", "grpcweb", "connect"])("buf curl, with the schema from reflection, over %s", (protocol) => {
  const curl = async (service: { daemon: Daemon; origin: string; ca: string }, rpc: string, ...messages: unknown[]) => {
    const { daemon, origin, ca } = service;
    const args = ["curl", "--protocol", protocol, "--cacert", ca, "-H", `authorization: Bearer ${await daemon.token()}`, "-d", "@-"];
    return run(
      "buf",
      HAVE_BUF,
      [...args, `${origin}/harness.hands.v1.${rpc}`],
      messages.map((message) => JSON.stringify(message)).join("\n"),
    );
  };

  test("makes unary and streaming calls", async () => {
    const service = await start();
    const created = await curl(service, "WorkspaceService/Create", { workspace: WORKSPACE, epoch: "5" });
    expect({ code: created.code, stderr: created.stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(created.stdout)).toMatchObject({ workspace: { name: WORKSPACE, epoch: "5" } });

    const ran = await curl(service, "ExecService/Run", {
      spec: { execId: "run", workspace: WORKSPACE, epoch: "5", shell: "echo hello; exit 3" },
    });
    const events = valuesIn<Event>(ran.stdout);
    expect(outputOf(events)).toBe("hello\n");
    expect(events.at(-1)?.event?.ended).toMatchObject({ cause: "END_CAUSE_EXITED", exitCode: 3 });

    const refused = await curl(service, "ExecService/Get", { execId: "nobody", workspace: WORKSPACE });
    expect(refused.code).not.toBe(0);
    expect(JSON.parse(refused.stderr)).toMatchObject({
      code: "not_found",
      details: expect.arrayContaining([expect.objectContaining({ type: "google.rpc.ErrorInfo" })]),
    });
  });

  test("runs two commands on one channel, and gives one of them input", async () => {
    const service = await start();
    await curl(service, "WorkspaceService/Create", { workspace: WORKSPACE, epoch: "5" });
    const spec = { workspace: WORKSPACE, epoch: "5" };
    const target = { execId: "reader", workspace: WORKSPACE };
    const { stdout, stderr } = await curl(
      service,
      "ExecService/Channel",
      { run: { spec: { ...spec, execId: "reader", shell: "cat", stdinOpen: true }, initialCredit: "100000" } },
      { run: { spec: { ...spec, execId: "other", shell: "echo other" }, initialCredit: "100000" } },
      { stdin: { ...target, data: Buffer.from("typed\n").toString("base64") } },
      { closeStdin: target },
    );
    expect(stderr).toBe("");
    const events = valuesIn<Event>(stdout);
    expect([outputOf(events, "reader"), outputOf(events, "other")]).toEqual(["typed\n", "other\n"]);
  });
});

test("buf curl lists the services and their methods without a token, by which it can do nothing else", async () => {
  const { origin, ca } = await start();
  const list = async (what: string) => (await run("buf", HAVE_BUF, ["curl", "--cacert", ca, what, origin])).stdout.trim().split("\n");
  const services = [ExecService, FileService, IdentityService, TerminalService, WorkspaceService];
  expect(await list("--list-services")).toEqual(expect.arrayContaining(services.map(({ typeName }) => typeName)));
  const methods = services.flatMap((service) => service.methods.map(({ name }) => `${service.typeName}/${name}`));
  expect(await list("--list-methods")).toEqual(expect.arrayContaining(methods));
  const refused = await run("buf", HAVE_BUF, ["curl", "--cacert", ca, "-d", "{}", `${origin}/${WorkspaceService.typeName}/List`]);
  expect(JSON.parse(refused.stderr)).toMatchObject({ code: "unauthenticated" });
});

describe.each(["--http1.1", "--http2"])("curl with JSON, %s", (version) => {
  let service: Awaited<ReturnType<typeof start>>;
  const curl = async (...args: string[]) => {
    const { daemon, ca } = service;
    return run("curl", HAVE_CURL, ["-sS", version, "--cacert", ca, "-H", `authorization: Bearer ${await daemon.token()}`, ...args]);
  };
  const json = async (rpc: string, body: unknown) =>
    JSON.parse(
      (await curl("-H", "content-type: application/json", "-d", JSON.stringify(body), `${service.origin}/harness.hands.v1.${rpc}`)).stdout,
    );

  test("makes unary and streaming calls", async () => {
    service = await start();
    expect(await json("WorkspaceService/Create", { workspace: WORKSPACE, epoch: "5" })).toMatchObject({ workspace: { name: WORKSPACE } });
    const message = Buffer.from(JSON.stringify({ spec: { execId: "run", workspace: WORKSPACE, epoch: "5", shell: "echo hello; exit 3" } }));
    const envelope = join(await temporaryDirectory(), "message");
    await writeFile(envelope, Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]));
    const streamed = await curl(
      "-H",
      "content-type: application/connect+json",
      "--data-binary",
      `@${envelope}`,
      `${service.origin}/harness.hands.v1.ExecService/Run`,
    );
    expect(streamed.stdout).toContain(Buffer.from("hello\n").toString("base64"));
    expect(streamed.stdout).toContain('"exitCode":3');
    expect(await json("ExecService/Get", { execId: "run", workspace: WORKSPACE })).toMatchObject({ exec: { ended: { exitCode: 3 } } });
    expect(await json("ExecService/Get", { execId: "nobody", workspace: WORKSPACE })).toMatchObject({ code: "not_found" });
  });
});

test("a program that an interop test needs and that is missing fails it, with what to do", async () => {
  await expect(run("no-such-program", HAVE_CURL, [])).rejects.toThrow(/no-such-program can't be run .*: install curl/);
});
