import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EndCause } from "@serverless-harness/proto/hands";
import { describe, expect, test } from "vitest";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { RawChannel, runRequest } from "../fixtures/raw-channel.ts";
import { EPOCH, LIMITS, spec, startSandbox, WORKSPACE } from "../fixtures/sandbox.ts";

const MIB = 1024 * 1024;

/** Pieces of 1 MiB that tell a wrong order and a wrong place. */
function pieces(count: number): Buffer[] {
  const source = Buffer.from(Array.from({ length: 2 * MIB }, (_, i) => (i * 31 + (i >> 8) * 7) % 251));
  return Array.from({ length: count }, (_, i) => source.subarray((i * 977) % MIB, ((i * 977) % MIB) + MIB));
}

function hashOf(parts: readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** Memory in MiB by a line of the process's status. */
function memory(pid: number, line: "VmRSS" | "VmHWM"): number {
  const kib = new RegExp(`^${line}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) / 1024;
}

function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
}

test("input that nobody reads costs little memory and holds up nobody, and arrives whole once it is read", async () => {
  const daemon = await startDaemon();
  const workspace = await daemon.connect();
  await follow(workspace, "true").handle.ended;
  const hands = Number(daemon.process.pid);
  const keeper = childOf(hands);
  const before = { hands: memory(hands, "VmRSS"), keeper: memory(keeper, "VmRSS") };
  const given = pieces(1024);
  const reader = follow(workspace, "echo up; while [ ! -e go ]; do sleep 0.01; done; sha256sum", { stdinOpen: true });
  for (const piece of given) reader.handle.writeStdin(piece);
  reader.handle.closeStdin();
  await reader.until(() => reader.text() === "up\n");
  for (let i = 0; i < 20; i++) expect(await follow(workspace, `[ ! -e go ] && exit ${i}`).handle.ended).toMatchObject({ exitCode: i });
  expect(memory(keeper, "VmRSS") - before.keeper).toBeLessThan(8);
  expect(memory(hands, "VmHWM") - before.hands).toBeLessThan(64);
  await follow(workspace, "touch go").handle.ended;
  await reader.handle.ended;
  expect(reader.text()).toBe(`up\n${hashOf(given)}  -\n`);
  expect(memory(keeper, "VmHWM") - before.keeper).toBeLessThan(16);
  expect(memory(hands, "VmHWM") - before.hands).toBeLessThan(128);
});

describe("with the keeper", () => {
  test("input beyond the room is refused by the limit's name, and the command gets what was taken, without a hole", async () => {
    const sandbox = await startSandbox();
    const channel = new RawChannel(sandbox);
    const reader = spec("echo up; while [ ! -e go ]; do sleep 0.01; done; sha256sum", { stdinOpen: true });
    const named = { execId: reader.execId, workspace: WORKSPACE };
    channel.send(runRequest(reader));
    await channel.event();
    await channel.event();
    expect(channel.stdinCredit).toBe(LIMITS.stdinBytes);
    const given = pieces(20);
    for (const data of given) channel.send({ case: "stdin", value: { ...named, data } });
    channel.send({ case: "stdin", value: { ...named, data: Buffer.from("it would fit") } });
    const refused = (await channel.event()).event;
    expect(refused).toMatchObject({ case: "refused", value: { code: "RESOURCE_EXHAUSTED", reason: "limit_reached" } });
    expect(refused.case === "refused" && refused.value.message).toContain("stdin_bytes");
    const other = new RawChannel(sandbox);
    other.send(runRequest(spec("touch go")));
    other.send({ case: "attach", value: { ...named, epoch: EPOCH } });
    other.send({ case: "closeStdin", value: named });
    // A pipe may have taken some before the room was gone.
    const possible = [4, 5].map((count) => `${hashOf(given.slice(0, count))}  -\n`);
    expect(possible.map((line) => `up\n${line}`)).toContain(await other.textOf(reader.execId));
  });

  test("whoever attaches is told the room that is left, and of all of it when the command has read", async () => {
    const sandbox = await startSandbox();
    const first = new RawChannel(sandbox);
    const reader = spec("echo up; while [ ! -e go ]; do sleep 0.01; done; head -c 3145728 | wc -c; echo read; cat | wc -c", {
      stdinOpen: true,
    });
    const named = { execId: reader.execId, workspace: WORKSPACE };
    first.send(runRequest(reader));
    await first.event();
    for (const data of pieces(3)) first.send({ case: "stdin", value: { ...named, data } });
    first.send({ case: "ping", value: { nonce: 1n } });
    for (let response = await first.next(); response?.case !== "pong"; ) response = await first.next();
    first.cut();
    const second = new RawChannel(sandbox);
    second.send({ case: "attach", value: { ...named, epoch: EPOCH } });
    await second.event();
    expect(second.stdinCredit).toBeLessThan(LIMITS.stdinBytes - 2 * MIB);
    writeFileSync(join(sandbox.workspaces.find(WORKSPACE).path, "go"), "");
    while (second.stdinCredit < LIMITS.stdinBytes - 128 * 1024) {
      const response = await second.next();
      if (response?.case === "stdinCredit") second.stdinCredit += Number(response.value.bytes);
    }
    expect(second.stdinCredit).toBeLessThanOrEqual(LIMITS.stdinBytes);
    second.send({ case: "stdin", value: { ...named, data: Buffer.from("more") } });
    second.send({ case: "closeStdin", value: named });
    expect(await second.textOf(reader.execId)).toMatch(/4\n$/);
  });
});

test("input for a command that takes none is refused, and the exec goes on", async () => {
  const sandbox = await startSandbox();
  const channel = new RawChannel(sandbox);
  const deaf = spec("while [ ! -e go ]; do sleep 0.01; done");
  const closed = spec("cat; while [ ! -e go ]; do sleep 0.01; done", { stdinOpen: true });
  for (const one of [deaf, closed]) {
    const named = { execId: one.execId, workspace: WORKSPACE };
    channel.send(runRequest(one));
    channel.send({ case: "closeStdin", value: named });
    channel.send({ case: "stdin", value: { ...named, data: Buffer.from("x") } });
    let { event } = await channel.event();
    if (event.case === "started") ({ event } = await channel.event());
    expect(event).toMatchObject({ case: "refused", value: { code: "FAILED_PRECONDITION", reason: "stdin_closed" } });
  }
  channel.send(runRequest(spec("touch go")));
  for (const one of [deaf, closed]) {
    for await (const { event } of sandbox.client.attach({ execId: one.execId, workspace: WORKSPACE, epoch: EPOCH }))
      if (event?.event.case === "ended") expect(event.event.value).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
  }
});

test("a command that leaves its input unread or closes its stdin does not stop whoever gives it", async () => {
  const daemon = await startDaemon();
  const workspace = await daemon.connect();
  const picky = follow(workspace, "head -c 5; exec 0<&-; sleep 0.2; echo done", { stdinOpen: true });
  for (const piece of pieces(64)) picky.handle.writeStdin(piece);
  picky.handle.closeStdin();
  expect(await picky.handle.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
  expect(picky.text()).toMatch(/done\n$/);
});

test("input is given also where the client detaches or goes right behind it", async () => {
  const sandbox = await startSandbox();
  for (const leave of ["detach", "end"] as const) {
    const channel = new RawChannel(sandbox);
    const reader = spec("cat", { stdinOpen: true });
    const named = { execId: reader.execId, workspace: WORKSPACE };
    channel.send(runRequest(reader));
    await channel.event();
    channel.send({ case: "stdin", value: { ...named, data: Buffer.from("whole ") } });
    channel.send({ case: "stdin", value: { ...named, data: Buffer.from("input") } });
    channel.send({ case: "closeStdin", value: named });
    if (leave === "detach") channel.send({ case: "detach", value: named });
    else channel.end();
    const other = new RawChannel(sandbox);
    other.send({ case: "attach", value: { ...named, epoch: EPOCH } });
    expect(await other.textOf(reader.execId)).toBe("whole input");
  }
});
