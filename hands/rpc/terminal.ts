import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import {
  type TerminalEnded,
  TerminalEndedSchema,
  type Terminal as TerminalMessage,
  TerminalSchema,
  type TerminalService,
  type TerminalServiceAttachRequest,
  type TerminalServiceAttachResponse,
  TerminalServiceAttachResponseSchema,
  type TerminalTarget,
} from "@serverless-harness/proto/hands";
import type { Confirmation, Terminal, TerminalEnd, TerminalUpdate } from "../terminals/terminal.ts";
import type { Terminals } from "../terminals/terminals.ts";
import { readInput, TerminalValidation, validateOpen } from "../terminals/validate.ts";
import type { Workspaces } from "../workspaces/workspaces.ts";

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const MAX_SCROLLBACK_LINES = 1000;
const PREVIEW_CHARACTERS = 200;

/** What the terminal RPCs need. */
export interface TerminalDeps {
  readonly workspaces: Workspaces;
  readonly terminals: Terminals;
  /** The environment that programs in a workspace start with. */
  readonly environment: (workspace: { readonly name: string; readonly path: string }) => Readonly<Record<string, string>>;
}

/** The RPCs of `harness.hands.v1.TerminalService`. */
export function terminalService(deps: TerminalDeps): ServiceImpl<typeof TerminalService> {
  const { workspaces, terminals, environment } = deps;
  return {
    async open(request) {
      const size = { columns: request.columns || DEFAULT_COLUMNS, rows: request.rows || DEFAULT_ROWS };
      validateOpen(request, size);
      const workspace = await workspaces.resolve(request.workspace, request.epoch);
      const { terminal, existed } = terminals.open(workspace, request.terminalId, {
        argv: request.argv.length === 0 ? ["/bin/bash", "-i"] : request.argv,
        cwd: join(workspace.path, request.cwd),
        env: { ...environment(workspace), TERM: "xterm-256color", ...request.env },
        ...size,
      });
      await terminal.started.catch(async (error: unknown) => {
        await terminals.close(workspace.name, request.terminalId);
        throw error;
      });
      return { terminal: terminalMessage(terminal), existed };
    },

    async *attach(requests, context) {
      const messages = requests[Symbol.asyncIterator]();
      const target = await readTarget(messages);
      const terminal = terminals.find(workspaces.find(target.workspace).name, target.terminalId);
      // A mistake of the watcher ends its stream, with the reason; the terminal goes on.
      const stop = new AbortController();
      const confirmation: Confirmation = { inputId: "", untold: 0 };
      const refused = takeInput(messages, workspaces, target, terminal, confirmation).catch((error: unknown) => {
        stop.abort();
        throw error;
      });
      refused.catch(() => undefined);
      yield create(TerminalServiceAttachResponseSchema, { event: { case: "terminal", value: terminalMessage(terminal) } });
      const over = AbortSignal.any([context.signal, stop.signal]);
      for await (const update of terminal.watch(Number(target.fromOffset), over, confirmation)) {
        yield create(TerminalServiceAttachResponseSchema, { event: eventOf(update) });
      }
      if (stop.signal.aborted) await refused;
    },

    async write(request) {
      const validation = new TerminalValidation();
      validation.target(request);
      validation.input("data", request.data);
      if (request.inputId !== "") validation.id("input_id", request.inputId);
      validation.done();
      await workspaces.resolve(request.workspace, request.epoch);
      return { replayed: terminals.find(request.workspace, request.terminalId).write(request.data, request.inputId) };
    },

    async resize(request) {
      const size = request.size ?? { columns: 0, rows: 0 };
      const validation = new TerminalValidation();
      validation.target(request);
      validation.size("size.", size);
      validation.done();
      await workspaces.resolve(request.workspace, request.epoch);
      terminals.find(request.workspace, request.terminalId).resize(size.columns, size.rows);
      return {};
    },

    async screen(request) {
      const validation = new TerminalValidation();
      validation.target(request);
      validation.range("scrollback_lines", request.scrollbackLines, 0, MAX_SCROLLBACK_LINES);
      validation.done();
      const terminal = terminals.find(workspaces.find(request.workspace).name, request.terminalId);
      const view = await terminal.screen(request.scrollbackLines);
      return { ...view, terminal: terminalMessage(terminal) };
    },

    list(request) {
      const validation = new TerminalValidation();
      validation.workspace("workspace", request.workspace);
      validation.done();
      return { terminals: terminals.list(workspaces.find(request.workspace).name).map(terminalMessage) };
    },

    async close(request) {
      requireTarget(request);
      await workspaces.resolve(request.workspace, request.epoch);
      await terminals.close(request.workspace, request.terminalId);
      return {};
    },
  };
}

function requireTarget(request: { readonly workspace: string; readonly terminalId: string }): void {
  const validation = new TerminalValidation();
  validation.target(request);
  validation.done();
}

type Messages = AsyncIterator<TerminalServiceAttachRequest>;

async function readTarget(messages: Messages): Promise<TerminalTarget> {
  const first = await messages.next();
  if (first.done || first.value.request.case !== "target")
    throw new HarnessError(Code.InvalidArgument, "invalid_argument", "request: the first message must be `target`");
  requireTarget(first.value.request.value);
  return first.value.request.value;
}

async function takeInput(
  messages: Messages,
  workspaces: Workspaces,
  target: TerminalTarget,
  terminal: Terminal,
  confirmation: Confirmation,
): Promise<void> {
  for (let message = await messages.next(); !message.done; message = await messages.next()) {
    const input = readInput(message.value);
    // Only an owner may type: one that was replaced meanwhile is refused here.
    await workspaces.resolve(target.workspace, target.epoch);
    if ("data" in input) terminal.write(input.data, input.inputId);
    else terminal.resize(input.columns, input.rows, input.inputId);
    if (input.inputId !== "") terminal.confirm(confirmation, input.inputId);
  }
}

function terminalMessage(terminal: Terminal): TerminalMessage {
  const { total, first } = terminal.offsets;
  return create(TerminalSchema, {
    terminalId: terminal.id,
    workspace: terminal.workspace,
    commandPreview: terminal.spec.argv.join(" ").slice(0, PREVIEW_CHARACTERS),
    pid: BigInt(terminal.pid),
    ...terminal.size,
    totalBytes: BigInt(total),
    firstOffset: BigInt(first),
    watchers: terminal.watchers,
    startedAtMs: BigInt(terminal.startedAtMs),
    ...(terminal.end === undefined ? {} : { ended: endedMessage(terminal.end) }),
  });
}

function eventOf(update: TerminalUpdate): TerminalServiceAttachResponse["event"] {
  switch (update.kind) {
    case "output":
      return { case: "output", value: { $typeName: "harness.hands.v1.TerminalOutput", offset: BigInt(update.offset), data: update.data } };
    case "gap":
      return {
        case: "gap",
        value: { $typeName: "harness.hands.v1.TerminalGap", fromOffset: BigInt(update.from), toOffset: BigInt(update.to) },
      };
    case "resized":
      return { case: "resized", value: { $typeName: "harness.hands.v1.WindowSize", columns: update.columns, rows: update.rows } };
    case "taken":
      return { case: "taken", value: { $typeName: "harness.hands.v1.TerminalTaken", inputId: update.inputId } };
    case "ended":
      return { case: "ended", value: endedMessage(update.end) };
  }
}

function endedMessage(end: TerminalEnd): TerminalEnded {
  return create(TerminalEndedSchema, { exitCode: end.exitCode, signal: end.signal ?? "", endedAtMs: BigInt(end.endedAtMs) });
}
