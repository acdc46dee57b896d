import { readFileSync } from "node:fs";
import * as http2 from "node:http2";
import { connect as netConnect } from "node:net";
import { join } from "node:path";
import { Code, createClient } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { createTransport } from "@serverless-harness/kit/transport";
import { EndCause, ExecService } from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import { type Daemon, startDaemon } from "../fixtures/daemon.ts";
import { RawChannel, type Request, runRequest } from "../fixtures/raw-channel.ts";
import { EPOCH, spec, startSandbox, WORKSPACE } from "../fixtures/sandbox.ts";

const MIB = 1024 * 1024;

function clientOf(daemon: Daemon) {
  const address = { kind: "unix", path: join(daemon.base, "socket", "hands.sock") } as const;
  const transport = createTransport({ address, token: daemon.token });
  onTestFinished(() => transport.close());
  return { client: createClient(ExecService, transport) };
}

/** The most memory that the daemon had until now, in MiB. */
function peak(daemon: Daemon): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${daemon.process.pid}/status`, "utf8"))?.[1]) / 1024;
}

/** A command's end over a channel of its own. */
async function echoOver(sandbox: ReturnType<typeof clientOf>, text: string): Promise<string> {
  const channel = new RawChannel(sandbox);
  const one = spec(`echo ${text}`);
  channel.send(runRequest(one));
  const output = await channel.textOf(one.execId);
  channel.cut();
  return output;
}

test("messages in an order that makes no sense are answered one by one, and what comes in order still works", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const late = spec("cat", { stdinOpen: true });
  const named = { execId: late.execId, workspace: WORKSPACE };
  channel.send({ case: "closeStdin", value: named });
  channel.send({ case: "stdin", value: { ...named, data: Buffer.from("too early") } });
  channel.send({ case: "credit", value: { ...named, bytes: 5n } });
  channel.send({ case: "detach", value: named });
  channel.send({ case: "attach", value: { ...named, epoch: EPOCH } });
  for (let i = 0; i < 3; i++)
    expect((await channel.event()).event).toMatchObject({ case: "refused", value: { code: "NOT_FOUND", reason: "unknown_exec" } });
  channel.send(runRequest(late));
  channel.send({ case: "closeStdin", value: named });
  expect(await channel.textOf(late.execId)).toBe("");
});

test("credit of any size adds up to no less than what was given, also beyond what a number holds exactly", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const talker = spec("while [ ! -e go ]; do sleep 0.01; done; head -c 3000000 /dev/zero");
  const named = { execId: talker.execId, workspace: WORKSPACE };
  channel.send(runRequest(talker, { initialCredit: 1n }));
  for (let i = 0; i < 100; i++) channel.send({ case: "credit", value: { ...named, bytes: 2n ** 63n - 1n } });
  channel.send(runRequest(spec("touch go")));
  expect(await channel.textOf(talker.execId)).toHaveLength(3_000_000);
});

test.each<[string, Request]>([
  ["negative credit", { case: "credit", value: { execId: "x", workspace: WORKSPACE, bytes: -(2n ** 63n) } }],
  ["an id of a megabyte", { case: "stdin", value: { execId: "x".repeat(MIB), workspace: WORKSPACE } }],
  ["a workspace of a megabyte", { case: "attach", value: { execId: "x", workspace: "w".repeat(MIB) } }],
  ["a run with an id of a megabyte", { case: "run", value: { spec: spec("true", { execId: "x".repeat(MIB) }) } }],
])("%s ends the channel with INVALID_ARGUMENT, and no other", async (_what, request) => {
  const sandbox = await startSandbox();
  const [channel, other] = [new RawChannel(sandbox), new RawChannel(sandbox)];
  const going = spec("while [ ! -e go ]; do sleep 0.01; done; echo still here");
  other.send(runRequest(going));
  await other.event();
  channel.send(request);
  const error: unknown = await channel.next().catch((thrown: unknown) => thrown);
  expect(fromConnectError(error)).toMatchObject({ code: Code.InvalidArgument });
  other.send(runRequest(spec("touch go")));
  expect(await other.textOf(going.execId)).toBe("still here\n");
});

test("negative and giant numbers of a run or an attach refuse it by the field's name", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const numbers = [{ fromOffset: -1n }, { fromOffset: 2n ** 63n - 1n }, { initialCredit: -(2n ** 63n) }, { initialCredit: 2n ** 62n }];
  for (const number of numbers) {
    const one = spec("touch ran");
    for (const request of [
      { case: "run", value: { spec: one, ...number } },
      { case: "attach", value: { execId: one.execId, workspace: WORKSPACE, epoch: EPOCH, ...number } },
    ] as Request[]) {
      channel.send(request);
      const { event } = await channel.event();
      expect(event).toMatchObject({ case: "refused", value: { code: "INVALID_ARGUMENT" } });
      expect(event.case === "refused" && event.value.message).toMatch(/from_offset|initial_credit/);
    }
  }
  const last = spec("[ ! -e ran ] && echo fine");
  channel.send(runRequest(last));
  expect(await channel.textOf(last.execId)).toBe("fine\n");
});

test("an offset behind the end gives the end alone, and one that is not reached yet what comes from there on", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const talker = spec("echo 12345; while [ ! -e go ]; do sleep 0.01; done; echo 67890");
  const named = { execId: talker.execId, workspace: WORKSPACE, epoch: EPOCH };
  channel.send(runRequest(talker, { fromOffset: 8n }));
  await channel.event();
  channel.send(runRequest(spec("touch go")));
  expect(await channel.textOf(talker.execId)).toBe("890\n");
  channel.send({ case: "attach", value: { ...named, fromOffset: 1_000_000n } });
  expect(await channel.textOf(talker.execId)).toBe("");
});

test("clients that flood with pings, refusals and output and read nothing cost the daemon little, and nobody else anything", async () => {
  const daemon = await startDaemon();
  await daemon.connect();
  const sandbox = clientOf(daemon);
  expect(await echoOver(sandbox, "warm")).toBe("warm\n");
  const before = peak(daemon);
  const pinging = new RawChannel(clientOf(daemon));
  for (let nonce = 1n; nonce <= 50_000n; nonce++) pinging.send({ case: "ping", value: { nonce } });
  const refused = new RawChannel(clientOf(daemon));
  const long = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}=${"x".repeat(10_000)}`, ""]));
  for (let i = 0; i < 500; i++) refused.send(runRequest(spec("true", { env: long })));
  const flooded = new RawChannel(clientOf(daemon));
  const flood = spec("yes");
  flooded.send(runRequest(flood, { initialCredit: 1n << 40n }));
  for (let i = 0; i < 50; i++) expect(await echoOver(sandbox, String(i))).toBe(`${i}\n`);
  expect(peak(daemon) - before).toBeLessThan(200);
  for (let nonce = 1n; nonce <= 50_000n; nonce++) expect((await pinging.next())?.value).toMatchObject({ nonce });
  for (let i = 0; i < 500; i++) expect((await refused.event()).event.case).toBe("refused");
  await sandbox.client.signal({ execId: flood.execId, workspace: WORKSPACE, epoch: EPOCH, cancel: true });
  await flooded.event();
  for (;;) {
    const { event } = await flooded.event();
    if (event.case === "ended") expect(event.value.cause).toBe(EndCause.CANCELLED);
    if (event.case === "ended") break;
  }
});

test("a client that vanishes in the middle of a frame, or announces one of any size, leaves its execs and everybody else alone", async () => {
  const daemon = await startDaemon();
  await daemon.connect();
  const sandbox = clientOf(daemon);
  const before = peak(daemon);
  const envelope = (length: number, ...bytes: number[]): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(length, 1);
    return Buffer.concat([head, Buffer.from(bytes)]);
  };
  // The first is cut off, the second too large, the third no message, the fourth of an unknown kind.
  for (const data of [envelope(100, 10, 5), envelope(0xffff_ffff, 1), envelope(4, 255, 255, 255, 255), envelope(2, 122, 0)]) {
    for (const isCut of [true, false]) {
      const session = http2.connect("http://hands", {
        createConnection: () => netConnect(join(daemon.base, "socket", "hands.sock")),
      });
      const stream = session.request({
        ":method": "POST",
        ":path": "/harness.hands.v1.ExecService/Channel",
        "content-type": "application/connect+proto",
        authorization: `Bearer ${await daemon.token()}`,
      });
      stream.on("error", () => undefined).resume();
      session.on("error", () => undefined);
      await new Promise<void>((resolve) => stream.write(data, () => resolve()));
      const closed = new Promise<void>((resolve) => stream.once("close", resolve));
      if (isCut) session.destroy();
      else stream.end();
      await closed;
      session.destroy();
    }
  }
  expect(await echoOver(sandbox, "alive")).toBe("alive\n");
  expect(peak(daemon) - before).toBeLessThan(64);
});
