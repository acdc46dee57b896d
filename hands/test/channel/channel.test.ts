import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { fromConnectError } from "@serverless-harness/kit/errors";
import { EndCause } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { RawChannel, type Request, runRequest } from "../fixtures/raw-channel.ts";
import { EPOCH, spec, startSandbox, WORKSPACE } from "../fixtures/sandbox.ts";

test("many execs share one channel, and each gets its own events in order", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const specs = Array.from({ length: 20 }, (_, i) => spec(`echo ${i}; exit ${i}`));
  for (const one of specs) channel.send(runRequest(one));
  const seen = new Map<string, string[]>();
  for (let ended = 0; ended < specs.length; ) {
    const { execId, event } = await channel.event();
    const text =
      event.case === "output"
        ? Buffer.from(event.value.data).toString().trim()
        : event.case === "ended"
          ? `exit ${event.value.exitCode}`
          : String(event.case);
    seen.set(execId, [...(seen.get(execId) ?? []), text]);
    if (event.case === "ended") ended++;
  }
  for (const [i, { execId }] of specs.entries()) expect(seen.get(execId)).toEqual(["started", String(i), `exit ${i}`]);
});

test("no byte is sent beyond the credit, and each credit is worth exactly its bytes", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const talker = spec("head -c 1000 /dev/zero");
  const named = { execId: talker.execId, workspace: WORKSPACE };
  channel.send(runRequest(talker, { initialCredit: 300n }));
  await channel.event();
  const lengths: number[] = [];
  for (const [nonce, bytes] of [0n, 1n, 299n].entries()) {
    if (bytes > 0n) channel.send({ case: "credit", value: { ...named, bytes } });
    const { event } = await channel.event();
    if (event.case === "output") lengths.push(event.value.data.length);
    // Nothing comes between the last allowed byte and the answer to a ping sent behind it.
    channel.send({ case: "ping", value: { nonce: BigInt(nonce) } });
    expect(await channel.next()).toMatchObject({ case: "pong", value: { nonce: BigInt(nonce) } });
  }
  expect(lengths).toEqual([300, 1, 299]);
  channel.send({ case: "credit", value: { ...named, bytes: 1_000_000n } });
  expect(await channel.textOf(talker.execId)).toHaveLength(400);
});

test("a flood in one exec does not hold up another", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const flood = spec("yes");
  channel.send(runRequest(flood, { initialCredit: 1_000_000_000_000n }));
  for (let pieces = 0; pieces < 20; ) if ((await channel.event()).event.case === "output") pieces++;
  const quick = spec("echo through");
  channel.send(runRequest(quick));
  expect(await channel.textOf(quick.execId)).toBe("through\n");
  channel.send({ case: "signal", value: { execId: flood.execId, workspace: WORKSPACE, epoch: EPOCH, cancel: true } });
  for (;;) {
    const response = await channel.next();
    if (response?.case !== "event" || response.value.event.case !== "ended") continue;
    expect(response.value).toMatchObject({ execId: flood.execId, event: { value: { cause: EndCause.CANCELLED } } });
    return;
  }
});

test("input reaches the command in order, from the first byte on, and its end as well", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const hash = spec("sha256sum", { stdinOpen: true });
  const named = { execId: hash.execId, workspace: WORKSPACE };
  const data = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251));
  channel.send(runRequest(hash));
  for (let at = 0; at < data.length; at += 1_000_000)
    channel.send({ case: "stdin", value: { ...named, data: data.subarray(at, at + 1_000_000) } });
  channel.send({ case: "closeStdin", value: named });
  const { createHash } = await import("node:crypto");
  expect(await channel.textOf(hash.execId)).toContain(createHash("sha256").update(data).digest("hex"));
});

test("input for an exec that is not followed is refused instead of dropped", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  channel.send({ case: "stdin", value: { execId: "nobody", workspace: WORKSPACE, data: Buffer.from("x") } });
  expect((await channel.event()).event).toMatchObject({ case: "refused", value: { code: "NOT_FOUND", reason: "unknown_exec" } });
});

test("what is wrong with one exec is told for that exec, and the channel goes on", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const good = spec("echo fine");
  channel.send(runRequest(spec("", { execId: "bad id", timeoutMs: -1n })));
  channel.send({ case: "attach", value: { execId: "unknown", workspace: WORKSPACE, epoch: EPOCH } });
  channel.send(runRequest(spec("true", { epoch: 1n })));
  channel.send(runRequest(good));
  channel.send({ case: "signal", value: { execId: "unknown", workspace: WORKSPACE, epoch: EPOCH } });
  const refusals: string[] = [];
  let signalled: unknown;
  for (let isOver = false; !isOver || refusals.length < 3 || signalled === undefined; ) {
    const response = await channel.next();
    if (response?.case === "signalResult") signalled = response.value.refused?.reason;
    if (response?.case !== "event") continue;
    const { event } = response.value;
    if (event.case === "refused") refusals.push(`${event.value.code} ${event.value.reason}`);
    if (event.case === "ended") isOver = true;
  }
  expect(refusals.sort()).toEqual(["FAILED_PRECONDITION stale_epoch", "INVALID_ARGUMENT invalid_argument", "NOT_FOUND unknown_exec"]);
  expect(signalled).toBe("unknown_exec");
});

test("a message that makes no sense ends the channel with the reason, and the execs go on", async () => {
  for (const request of [
    { case: undefined },
    { case: "credit", value: { execId: "x", workspace: WORKSPACE, bytes: 0n } },
    { case: "stdin", value: { execId: "x", workspace: WORKSPACE, data: new Uint8Array(1024 * 1024 + 1) } },
  ] as Request[]) {
    const sandbox = await startSandbox();
    const channel = new RawChannel(sandbox);
    const going = spec("echo up; while [ ! -e go ]; do sleep 0.01; done; echo still here > proof");
    channel.send(runRequest(going));
    await channel.event();
    await channel.event();
    channel.send(request);
    const error = await channel.next().then(
      () => undefined,
      (thrown: unknown) => fromConnectError(thrown),
    );
    expect(error).toMatchObject({ code: Code.InvalidArgument });
    const other = new RawChannel(sandbox);
    other.send(runRequest(spec("touch go")));
    other.send({ case: "attach", value: { execId: going.execId, workspace: WORKSPACE, epoch: EPOCH } });
    await other.textOf(going.execId);
    expect(await readFile(join(sandbox.workspaces.find(WORKSPACE).path, "proof"), "utf8")).toBe("still here\n");
  }
});

test("detach stops the events of one exec, and attach takes them up at any offset", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const talker = spec("echo one; while [ ! -e go ]; do sleep 0.01; done; echo two");
  const named = { execId: talker.execId, workspace: WORKSPACE };
  channel.send(runRequest(talker));
  for (let bytes = 0; bytes < 4; ) {
    const { event } = await channel.event();
    if (event.case === "output") bytes += event.value.data.length;
  }
  channel.send({ case: "detach", value: named });
  const toucher = spec("touch go");
  channel.send(runRequest(toucher));
  await channel.textOf(toucher.execId);
  channel.send({ case: "attach", value: { ...named, epoch: EPOCH, fromOffset: 2n } });
  expect(await channel.textOf(talker.execId)).toBe("e\ntwo\n");
});

test("a client that has said everything gets everything before the channel ends", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const talker = spec("sleep 0.1; echo late");
  channel.send(runRequest(talker));
  channel.end();
  expect(await channel.textOf(talker.execId)).toBe("late\n");
  expect(await channel.next()).toBeUndefined();
});

test("hands that stops says so on every channel, sends what is left and ends them", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const short = spec("echo up; sleep 0.1; echo last");
  channel.send(runRequest(short));
  await channel.event();
  sandbox.channels.goAway();
  const drained = sandbox.execs.drain(5000);
  const seen: string[] = [];
  for (let response = await channel.next(); response !== undefined; response = await channel.next()) {
    seen.push(response.case === "event" ? String(response.value.event.case) : String(response.case));
  }
  await drained;
  expect(seen).toContain("goAway");
  expect(seen.at(-1)).toBe("ended");
});

test("one exec id of two workspaces can't share a channel, since events name the exec alone", async () => {
  const sandbox = await startSandbox();
  await sandbox.workspaces.create("acme/two", EPOCH);
  const channel = new RawChannel(sandbox);
  const first = spec("sleep 0.2", { execId: "same" });
  channel.send(runRequest(first));
  await channel.event();
  channel.send(runRequest(spec("true", { execId: "same", workspace: "acme/two" })));
  expect((await channel.event()).event).toMatchObject({ case: "refused", value: { code: "ALREADY_EXISTS", reason: "id_in_use" } });
});
