import { join } from "node:path";
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { createTransport } from "@serverless-harness/kit/transport";
import {
  AttachResponseSchema,
  ChannelResponseSchema,
  ExecService,
  FileService,
  RunResponseSchema,
  TerminalService,
  TerminalServiceAttachResponseSchema,
  WatchResponseSchema,
} from "@serverless-harness/proto/hands";
import { expect, onTestFinished, test } from "vitest";
import type { WorkspaceClient } from "../../client/index.ts";
import { startDaemon } from "../fixtures/daemon.ts";
import { follow } from "../fixtures/followed.ts";
import { EPOCH, spec, WORKSPACE } from "../fixtures/sandbox.ts";

/** The shortest that can be set. */
const KEEP_ALIVE = { HANDS_KEEP_ALIVE_MS: "100" };
/** Messages without content that a stream has to send before anything happens on it. */
const ENOUGH = 3;
/** Waits for the file `go`. */
const WAITS = "until [ -e go ]; do sleep 0.02; done; echo gone";

/** A message that never comes: the client has said all, and stays. */
async function* openFor<T>(first: T): AsyncGenerator<T> {
  yield first;
  await new Promise(() => undefined);
}

interface Opened<Desc extends DescMessage = DescMessage> {
  readonly schema: Desc;
  readonly messages: AsyncIterable<MessageShape<Desc>>;
}

const STREAMS: Readonly<Record<string, (transport: Transport, signal: AbortSignal) => Promise<Opened>>> = {
  "ExecService.Channel": async (transport, signal) => {
    const run = { case: "run" as const, value: { spec: spec(WAITS), initialCredit: 1000n } };
    return { schema: ChannelResponseSchema, messages: createClient(ExecService, transport).channel(openFor({ request: run }), { signal }) };
  },
  "ExecService.Run": async (transport, signal) => ({
    schema: RunResponseSchema,
    messages: createClient(ExecService, transport).run({ spec: spec(WAITS) }, { signal }),
  }),
  "ExecService.Attach": async (transport, signal) => {
    const client = createClient(ExecService, transport);
    const waits = spec(WAITS);
    for await (const message of client.run({ spec: waits }, { signal })) if (message.event !== undefined) break;
    const { execId, workspace, epoch } = waits;
    return { schema: AttachResponseSchema, messages: client.attach({ execId, workspace, epoch }, { signal }) };
  },
  "TerminalService.Attach": async (transport, signal) => {
    const client = createClient(TerminalService, transport);
    const target = { terminalId: "quiet", workspace: WORKSPACE, epoch: EPOCH };
    await client.open({ ...target, argv: ["bash", "-c", WAITS] });
    const messages = client.attach(openFor({ request: { case: "target" as const, value: target } }), { signal });
    return { schema: TerminalServiceAttachResponseSchema, messages };
  },
  "FileService.Watch": async (transport, signal) => ({
    schema: WatchResponseSchema,
    messages: createClient(FileService, transport).watch({ workspace: WORKSPACE }, { signal }),
  }),
};

test.each(Object.keys(STREAMS))("while nothing happens %s sends messages without content, and then what happens", async (name) => {
  const daemon = await startDaemon(KEEP_ALIVE);
  const workspace = await daemon.connect();
  const path = join(daemon.base, "socket", "hands.sock");
  const transport = createTransport({ address: { kind: "unix", path }, token: await daemon.token() });
  onTestFinished(() => transport.close());
  const cut = new AbortController();
  const opened = await STREAMS[name]?.(transport, cut.signal);
  if (opened === undefined) throw new Error(`no stream ${name}`);
  let empty = 0;
  for await (const message of opened.messages) {
    if (toBinary(opened.schema, message).length === 0) empty++;
    if (empty === ENOUGH) await workspace.write("go", new Uint8Array(), { changeId: "go" });
    // The file's name, or what the command says when it sees it.
    if (empty >= ENOUGH && /"(go|Z29uZ)/.test(JSON.stringify(message, textOf))) break;
  }
  cut.abort();
  expect(empty).toBeGreaterThanOrEqual(ENOUGH);
});

function textOf(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}

test("a client passes over messages without content, whatever it follows", async () => {
  const daemon = await startDaemon(KEEP_ALIVE);
  const workspace = await daemon.connect();
  await workspace.openTerminal({ terminalId: "quiet", argv: ["bash", "-c", WAITS] });
  const told: string[] = [];
  const terminal = workspace.attachTerminal("quiet", ({ kind }) => told.push(kind));
  const [exec, watched] = [follow(workspace, WAITS), changesOf(workspace)];
  await exec.until(() => exec.updates.length > 0);
  await follow(workspace, "sleep 0.5").handle.ended;
  expect(exec.updates.map(({ kind }) => kind)).toEqual(["started"]);
  await workspace.write("go", new Uint8Array(), { changeId: "go" });
  await exec.handle.ended;
  expect(exec.text()).toBe("gone\n");
  expect(await watched).toEqual(["started", "created"]);
  expect((await terminal.ended).exitCode).toBe(0);
  expect(told).toEqual(["attached", "output"]);
});

/** The kinds of what a watch tells up to the first change. */
async function changesOf(workspace: WorkspaceClient): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { kind } of workspace.watch(".")) {
    kinds.push(kind);
    if (kind !== "started") break;
  }
  return kinds;
}
