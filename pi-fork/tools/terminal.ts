import { createHash } from "node:crypto";
import {
  type AgentHarnessTool,
  type AgentHarnessToolInvocation,
  type Context,
  DEFAULT_MAX_BYTES,
  FileError,
  formatSize,
  truncateHead,
} from "@earendil-works/pi-agent-core";
import type { WorkspaceClient } from "@serverless-harness/hands/client";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { ScreenResponse, Terminal } from "@serverless-harness/proto/hands";
import { type Static, Type } from "typebox";
import { nextEffectId } from "../env/context.ts";
import { keyBytes } from "./terminal-keys.ts";
import { type WaitStart, waitForTerminal } from "./terminal-wait.ts";
import { type ToolContext, textResult } from "./tool.ts";

const QUIET_MS = 300;
const MAX_MS = 10_000;
const LONGEST_MS = 300_000;
const MAX_TEXT = 16_000;
/** Kept with the tool call: its terminal was asked for, so that it is never opened a second time. */
const OPENED = "terminal-opened";

const parameters = Type.Object({
  action: Type.Union(
    ["open", "type", "read", "list", "close"].map((action) => Type.Literal(action)),
    { description: "What to do" },
  ),
  terminal: Type.Optional(Type.String({ minLength: 1, description: "Id that open returned; for type, read and close" })),
  command: Type.Optional(Type.String({ minLength: 1, description: "open: the command to run (default: an interactive bash)" })),
  columns: Type.Optional(Type.Integer({ minimum: 1, maximum: 300, description: "open: width (default: 80)" })),
  rows: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, description: "open: height (default: 24)" })),
  text: Type.Optional(Type.String({ maxLength: MAX_TEXT, description: "type: text to type; a newline is Enter" })),
  keys: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      maxItems: 200,
      description: "type: keys to press behind the text, e.g. Enter, Ctrl-C, Escape, Up",
    }),
  ),
  waitFor: Type.Optional(
    Type.String({
      minLength: 1,
      description: "Wait until this text shows, instead of until the terminal is quiet; not a part of what is typed",
    }),
  ),
  quietMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 60_000,
      description: `How long nothing is written before the screen is read (default: ${QUIET_MS})`,
    }),
  ),
  maxMs: Type.Optional(Type.Integer({ minimum: 0, maximum: LONGEST_MS, description: `Wait no longer than this (default: ${MAX_MS})` })),
  scrollback: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 1000, description: "read: lines above the window to show too (default: 0)" }),
  ),
});

type Params = Static<typeof parameters>;

/** A persistent terminal in the sandbox, that outlives the tool call and the turn. */
export function createTerminalTool(): AgentHarnessTool<ToolContext, typeof parameters, undefined> {
  return {
    name: "terminal",
    label: "terminal",
    description:
      "Use a persistent terminal, for what bash can't do: programs that ask back, REPLs, debuggers, full-screen programs (vi, less, top). " +
      "open starts one; type sends text and keys; both then wait and return the screen as text with the cursor, as read does. " +
      "list shows the terminals; close ends one. A terminal stays until it is closed. For plain commands use bash.",
    parameters,
    async execute(_toolCallId, params, _onUpdate, { env }, invocation, context) {
      const done = await env.call(".", context, (hands) => act(hands, params, invocation, context));
      if (done.ok) return textResult(done.value, undefined);
      throw explained(done.error, params.terminal);
    },
  };
}

async function act(hands: WorkspaceClient, params: Params, invocation: AgentHarnessToolInvocation, context: Context): Promise<string> {
  switch (params.action) {
    case "open":
      return await open(hands, params, invocation, context);
    case "type":
      return await type(hands, params, context);
    case "read":
      return await read(hands, params, context);
    case "list": {
      const terminals = await hands.listTerminals();
      if (terminals.length === 0) return "No terminal is open.";
      return terminals.map((terminal) => `${describeTerminal(terminal)}: ${terminal.commandPreview}`).join("\n");
    }
    default:
      await hands.closeTerminal(named(params));
      return `Terminal ${named(params)} is closed.`;
  }
}

async function open(hands: WorkspaceClient, params: Params, invocation: AgentHarnessToolInvocation, context: Context): Promise<string> {
  // Short, as the model has to repeat it; and the same whenever this call is replayed.
  const terminalId = `t${createHash("sha256").update(nextEffectId(context)).digest("hex").slice(0, 8)}`;
  const { command, columns = 80, rows = 24 } = params;
  if ((await invocation.getMemo(OPENED)) === undefined) await invocation.setMemo(OPENED, true);
  else if (!(await hands.listTerminals()).some((terminal) => terminal.terminalId === terminalId)) throw lost(terminalId);
  await hands.openTerminal({ terminalId, columns, rows, ...(command === undefined ? {} : { argv: ["/bin/bash", "-c", command] }) });
  return await answer(hands, terminalId, params, { offset: 0, shown: "" }, context);
}

async function type(hands: WorkspaceClient, params: Params, context: Context): Promise<string> {
  const terminalId = named(params);
  const { text = "", keys = [] } = params;
  if (text === "" && keys.length === 0) throw problem("type needs text or keys");
  const before = await hands.terminalScreen(terminalId);
  if (before.terminal?.ended !== undefined) return screenText(before, ["nothing was typed: open another terminal"]);
  const data = Buffer.from(text.replace(/\r?\n/g, "\r") + keyBytes(keys, before.applicationCursorKeys));
  const { replayed } = await hands.writeTerminal(terminalId, data, { inputId: nextEffectId(context) }).catch(takenBefore);
  // What was typed by an earlier call of the same id may be answered already.
  const shown = replayed ? "" : before.lines.join("\n");
  return await answer(hands, terminalId, params, { offset: Number(before.terminal?.totalBytes ?? 0n), shown }, context);
}

/** A program that asked for the other form of the cursor keys meanwhile makes other bytes of the same call: it typed the first ones, once. */
function takenBefore(error: unknown): { replayed: boolean } {
  if (error instanceof HarnessError && error.reason === "id_reused") return { replayed: true };
  throw error;
}

async function read(hands: WorkspaceClient, params: Params, context: Context): Promise<string> {
  const terminalId = named(params);
  const waits = params.waitFor !== undefined || params.quietMs !== undefined;
  if (waits) {
    const { terminal } = await hands.terminalScreen(terminalId);
    return await answer(hands, terminalId, params, { offset: Number(terminal?.totalBytes ?? 0n), shown: "" }, context);
  }
  return screenText(await hands.terminalScreen(terminalId, { scrollbackLines: params.scrollback ?? 0 }), []);
}

/** Wait as the model asked to, and show the window. */
async function answer(hands: WorkspaceClient, terminalId: string, params: Params, start: WaitStart, context: Context): Promise<string> {
  const { waitFor, quietMs = QUIET_MS, maxMs = MAX_MS, scrollback = 0 } = params;
  const end = await waitForTerminal(hands, terminalId, start, { waitFor, quietMs, maxMs }, context.abortSignal);
  const late = waitFor === undefined ? `still writing after ${maxMs} ms` : `${JSON.stringify(waitFor)} did not show within ${maxMs} ms`;
  return screenText(await hands.terminalScreen(terminalId, { scrollbackLines: scrollback }), end === "limit" ? [late] : []);
}

function named({ action, terminal }: Params): string {
  if (terminal === undefined) throw problem(`${action} needs the terminal's id: list shows the ids`);
  return terminal;
}

/** An error that says all the model needs. */
function problem(message: string): FileError {
  return new FileError("invalid", message);
}

function lost(terminalId: string): FileError {
  return problem(
    `Terminal ${terminalId} is gone: it was closed, or lost when its sandbox restarted. What ran in it may have done its work or a part of it: ` +
      "look before you run it again. Nothing was typed or started by this call; open starts another terminal.",
  );
}

/** What the model is told of an error. */
function explained(error: FileError, terminal: string | undefined): Error {
  const gone = error.cause instanceof HarnessError && error.cause.reason === "unknown_terminal";
  return gone ? lost(terminal ?? "of this call") : error;
}

/** What a terminal's window shows, for the model: a line about the terminal, then the window without the empty lines at its end. */
function screenText(screen: ScreenResponse, notes: readonly string[]): string {
  const { lines, scrollbackLines, terminal, cursorRow, cursorColumn } = screen;
  const last = lines.findLastIndex((line) => line !== "");
  const shown = lines.slice(0, Math.max(last, scrollbackLines + cursorRow) + 1).join("\n");
  const { content, truncated } = truncateHead(shown, { maxLines: Number.MAX_SAFE_INTEGER });
  const about = [
    ...(terminal === undefined ? [] : [describeTerminal(terminal)]),
    `cursor at row ${cursorRow + 1}, column ${cursorColumn + 1}`,
    ...(scrollbackLines > 0 ? [`${scrollbackLines} lines of scrollback above the window`] : []),
    ...(truncated ? [`cut at ${formatSize(DEFAULT_MAX_BYTES)}`] : []),
    ...notes,
  ];
  return `[${about.join("; ")}]\n${content}`;
}

/** A terminal in a few words. */
function describeTerminal(terminal: Terminal): string {
  const { terminalId, columns, rows, ended } = terminal;
  if (ended === undefined) return `terminal ${terminalId}, ${columns}x${rows}, running`;
  const how = ended.signal === "" ? `exit code ${ended.exitCode}` : `signal ${ended.signal}`;
  return `terminal ${terminalId}, ${columns}x${rows}, its program ended with ${how}`;
}
