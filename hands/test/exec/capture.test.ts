import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { type CaptureSchema, EndCause, type ExecEvent, FileService, GapReason, Retain } from "@serverless-harness/proto/hands";
import { expect, test } from "vitest";
import { TAIL_INTERVAL_MS } from "../../exec/output-capture.ts";
import { EPOCH, run, type Sandbox, spec, startSandbox, takeAll, WORKSPACE } from "../fixtures/sandbox.ts";

const tail = (maxBytes: number, more: MessageInitShape<typeof CaptureSchema> = {}) => ({
  maxBytes: BigInt(maxBytes),
  retain: Retain.TAIL,
  ...more,
});
const head = (maxBytes: number, more: MessageInitShape<typeof CaptureSchema> = {}) => ({
  maxBytes: BigInt(maxBytes),
  retain: Retain.HEAD,
  ...more,
});

const NUMBERS = Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join("");

test("a tail gives the last bytes, tells what it left out, and the totals of everything", async () => {
  const sandbox = await startSandbox();
  const taken = await run(sandbox, "seq 100000", { capture: tail(1000) });
  expect(taken.bytes.subarray(-1000).toString()).toBe(NUMBERS.slice(-1000));
  expect(taken.bytes.length).toBeLessThan(100_000);
  expect(taken.gaps.length).toBeGreaterThan(0);
  expect(new Set(taken.gaps.map(({ reason }) => reason))).toEqual(new Set([GapReason.CAPTURE]));
  expect(taken.ended).toMatchObject({ totalBytes: BigInt(NUMBERS.length), totalLines: 100_000n, spillPath: "" });
});

test("a head gives the first bytes and then only the end", async () => {
  const sandbox = await startSandbox();
  const taken = await run(sandbox, "seq 100000", { capture: head(1000) });
  expect(taken.bytes.toString()).toBe(NUMBERS.slice(0, 1000));
  expect(taken.gaps).toEqual([{ from: 1000, to: NUMBERS.length, reason: GapReason.CAPTURE }]);
  expect(taken.ended).toMatchObject({ totalBytes: BigInt(NUMBERS.length), totalLines: 100_000n });
});

test("what fits into the bounds is given whole and without gaps", async () => {
  const sandbox = await startSandbox();
  for (const capture of [tail(1000, { spill: true }), head(1000, { spill: true })]) {
    const taken = await run(sandbox, "seq 100; echo end >&2", { capture });
    expect(taken.gaps).toEqual([]);
    expect(taken.bytes.length).toBe(296);
    expect(taken.ended.spillPath).toBe("");
  }
});

test("a tail of a long command is sent in few pieces, the first at once", async () => {
  const sandbox = await startSandbox();
  const dripping = spec("for i in $(seq 400); do echo $i; done | while read -r line; do echo $line; [ -e go ] || sleep 0.001; done", {
    capture: tail(50_000),
  });
  const events: Array<ExecEvent["event"]> = [];
  for await (const { event } of sandbox.client.run({ spec: dripping })) if (event !== undefined) events.push(event.event);
  const [first, second] = events;
  const last = events.at(-1);
  if (first?.case !== "started" || last?.case !== "ended") throw new Error("no begin or no end");
  expect(second?.case).toBe("output");
  // One at once, one at the end, and at most one in 50 ms between them, however long it took here.
  const turns = Number(last.value.endedAtMs - first.value.startedAtMs) / TAIL_INTERVAL_MS;
  expect(events.length - 2).toBeLessThanOrEqual(turns + 2);
});

test("a replay of a tail gives its end only, and an attach may ask for another part", async () => {
  const sandbox = await startSandbox();
  const long = spec("seq 100000", { capture: tail(500) });
  await takeAll(sandbox.client.run({ spec: long }));
  const named = { execId: long.execId, workspace: WORKSPACE, epoch: EPOCH };
  const replay = await takeAll(sandbox.client.attach(named));
  expect(replay.bytes.toString()).toBe(NUMBERS.slice(-500));
  const other = await takeAll(sandbox.client.attach({ ...named, capture: head(7) }));
  expect(other.bytes.toString()).toBe(NUMBERS.slice(0, 7));
  const all = await takeAll(sandbox.client.attach({ ...named, fromOffset: 10n, capture: head(10_000_000) }));
  expect(all.bytes.toString()).toBe(NUMBERS.slice(10));
});

test.each([
  ["bytes", tail(1000, { spill: true })],
  ["lines", tail(1_000_000, { spill: true, maxLines: 10n })],
])("an output beyond the bound on %s is in a file that commands and the file service can read", async (_what, capture) => {
  const sandbox = await startSandbox();
  const taken = await run(sandbox, "seq 100000", { capture });
  const { spillPath } = taken.ended;
  expect(await readFile(spillPath, "utf8")).toBe(NUMBERS);
  expect((await run(sandbox, `tail -n 1 ${spillPath}`)).stdout).toBe("100000\n");
  const pieces: Uint8Array[] = [];
  for await (const { data } of createClient(FileService, sandbox.connect()).read({ workspace: WORKSPACE, path: spillPath }))
    pieces.push(data);
  expect(Buffer.concat(pieces).toString()).toBe(NUMBERS);
});

test("a spill file ends at its limit, and the end says so", async () => {
  const sandbox = await startSandbox({ limits: { spillBytes: 5000 } });
  const { ended } = await run(sandbox, "seq 100000", { capture: tail(1000, { spill: true }) });
  expect(await readFile(ended.spillPath, "utf8")).toBe(NUMBERS.slice(0, 5000));
  expect(ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 0 });
  expect(ended.message).toContain("first 5000 bytes");
});

test("a spill file that can't be written costs the file, not the exec", async () => {
  const sandbox = await startSandbox();
  await mkdir(join(sandbox.base, "workspaces", ".spill"), { recursive: true });
  await writeFile(join(sandbox.base, "workspaces", ".spill", "acme"), "in the way");
  const taken = await run(sandbox, "seq 100000", { capture: tail(1000, { spill: true }) });
  expect(taken.bytes.subarray(-1000).toString()).toBe(NUMBERS.slice(-1000));
  expect(taken.ended).toMatchObject({ cause: EndCause.EXITED, spillPath: "" });
  expect(taken.ended.message).toContain("spill file could not be written");
});

test("output that can't be written to disk is told as lost, and the command goes on", async () => {
  const sandbox = await startSandbox();
  const directory = join(sandbox.workspaces.find(WORKSPACE).stateDirectory, "execs");
  const blocked = spec("seq 100000; exit 3");
  // A directory where the output file belongs: root can't be kept from writing by permissions.
  await mkdir(join(directory, `${blocked.execId}.0.out`), { recursive: true });
  const live = await takeAll(sandbox.client.run({ spec: blocked }));
  expect(live.ended).toMatchObject({ cause: EndCause.EXITED, exitCode: 3, totalBytes: BigInt(NUMBERS.length) });
  expect(live.ended.message).toContain("could not be kept");
  const replay = await takeAll(sandbox.client.attach({ execId: blocked.execId, workspace: WORKSPACE, epoch: EPOCH }));
  expect(replay.bytes.length + (replay.gaps[0]?.to ?? 0)).toBe(NUMBERS.length);
});

/** The state of a process: `S` while it waits, as for room in a pipe. */
async function stateOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2, text.lastIndexOf(")") + 3);
}

/** A reader that takes nothing until it is asked to. */
async function slowReader(sandbox: Sandbox, command: string) {
  const one = spec(command);
  const leaving = new AbortController();
  const events = sandbox.client.run({ spec: one }, { signal: leaving.signal })[Symbol.asyncIterator]();
  const first = await events.next();
  const started = (first.value as { event?: ExecEvent }).event?.event;
  const pid = started?.case === "started" ? Number(started.value.pid) : 0;
  return { one, events, pid, leave: () => leaving.abort() };
}

test("a reader that wants every byte holds the command up, and gets every byte in the end", async () => {
  const sandbox = await startSandbox({ limits: { readerLagBytes: 256 * 1024 } });
  const { one, events, pid } = await slowReader(sandbox, "exec head -c 30000000 /dev/zero");
  const exec = await sandbox.execs.get(WORKSPACE, one.execId);
  // The stream's own buffers take some; behind them the command stands still.
  let before = -1;
  while (exec.output.total !== before || (await stateOf(pid)) !== "S") {
    before = exec.output.total;
    await run(sandbox, "sleep 0.05");
  }
  expect(exec.output.total).toBeLessThan(20_000_000);
  let bytes = 0;
  let ended: unknown;
  for (let next = await events.next(); next.done !== true; next = await events.next()) {
    const what = next.value.event?.event;
    if (what?.case === "output") bytes += what.value.data.length;
    if (what?.case === "ended") ended = what.value.totalBytes;
  }
  expect({ bytes, ended }).toEqual({ bytes: 30_000_000, ended: 30_000_000n });
});

test("a reader with a capture, or none at all, never holds the command up", async () => {
  const sandbox = await startSandbox({ limits: { readerLagBytes: 256 * 1024, outputBytes: 1024 * 1024 } });
  const captured = spec("head -c 50000000 /dev/zero", { capture: tail(1000) });
  const events = sandbox.client.run({ spec: captured })[Symbol.asyncIterator]();
  await events.next();
  await (await sandbox.execs.get(WORKSPACE, captured.execId)).settled;
  const { exec } = await sandbox.execs.run(spec("head -c 50000000 /dev/zero"));
  await exec.settled;
  expect(exec.end).toMatchObject({ totalBytes: 50_000_000 });
  expect(exec.output.stored).toBeLessThanOrEqual(1024 * 1024);
});

test("a reader that leaves lets the command go on", async () => {
  const sandbox = await startSandbox({ limits: { readerLagBytes: 64 * 1024 } });
  const { one, leave } = await slowReader(sandbox, "head -c 50000000 /dev/zero; echo over > proof");
  const exec = await sandbox.execs.get(WORKSPACE, one.execId);
  leave();
  await exec.settled;
  expect(await readFile(join(sandbox.workspaces.find(WORKSPACE).path, "proof"), "utf8")).toBe("over\n");
});

test("silence that hands itself causes does not count against the command", async () => {
  const sandbox = await startSandbox({ limits: { readerLagBytes: 64 * 1024 } });
  const one = spec("head -c 20000000 /dev/zero", { noOutputTimeoutMs: 1000n });
  const events = sandbox.client.run({ spec: one })[Symbol.asyncIterator]();
  await events.next();
  await run(sandbox, "sleep 1.5");
  let ended: ExecEvent["event"] | undefined;
  for (let next = await events.next(); next.done !== true; next = await events.next()) ended = next.value.event?.event;
  expect(ended).toMatchObject({ case: "ended", value: { cause: EndCause.EXITED, totalBytes: 20_000_000n } });
});

test("a spill never leaves through a link that a command put in its place", async () => {
  const sandbox = await startSandbox();
  const target = join(sandbox.base, "target");
  await writeFile(target, "untouched");
  const one = spec("seq 100000", { capture: tail(1000, { spill: true }) });
  const place = join(sandbox.base, "workspaces", ".spill", WORKSPACE);
  await run(sandbox, `mkdir -p ${place} && ln -s ${target} ${place}/${one.execId}.log`);
  await chmod(place, 0o755);
  const { ended } = await takeAll(sandbox.client.run({ spec: one }));
  expect(await readFile(target, "utf8")).toBe("untouched");
  expect((await stat(ended.spillPath)).size).toBe(NUMBERS.length);
});
