import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import type { TerminalInput, TerminalService, TerminalServiceAttachRequest, TerminalTarget } from "@serverless-harness/proto/hands";
import { TerminalServiceAttachResponseSchema } from "@serverless-harness/proto/hands";
import type { Confirmation, Terminal } from "../../terminals/terminal.ts";
import type { TerminalDeps } from "./deps.ts";
import { checkInput, checkSize, terminalMessage, updateMessage, validateTarget } from "./messages.ts";

type Messages = AsyncIterator<TerminalServiceAttachRequest>;

export function attach(deps: TerminalDeps): ServiceImpl<typeof TerminalService>["attach"] {
  return async function* (requests, context) {
    const messages = requests[Symbol.asyncIterator]();
    const target = await readTarget(messages);
    validateTarget(target);
    const workspace = deps.workspaces.find(target.workspace);
    const terminal = deps.terminals.find(workspace.name, target.terminalId);
    // Whatever the watcher's side does wrong ends its stream, with the reason; the terminal goes on.
    const stop = new AbortController();
    const confirmation: Confirmation = { inputId: "", untold: 0 };
    const refused = takeInput(messages, deps, target, terminal, confirmation).catch((error: unknown) => {
      stop.abort();
      throw error;
    });
    refused.catch(() => undefined);
    yield create(TerminalServiceAttachResponseSchema, { event: { case: "terminal", value: terminalMessage(terminal) } });
    const over = AbortSignal.any([context.signal, stop.signal]);
    for await (const update of terminal.watch(Number(target.fromOffset), over, confirmation)) {
      yield updateMessage(update);
    }
    if (stop.signal.aborted) await refused;
  };
}

async function readTarget(messages: Messages): Promise<TerminalTarget> {
  const first = await messages.next();
  if (!first.done && first.value.request.case === "target") return first.value.request.value;
  throw new HarnessError(Code.InvalidArgument, "invalid_argument", "request: the first message must be `target`");
}

async function takeInput(
  messages: Messages,
  deps: TerminalDeps,
  target: TerminalTarget,
  terminal: Terminal,
  confirmation: Confirmation,
): Promise<void> {
  for (let message = await messages.next(); !message.done; message = await messages.next()) {
    const input = readInput(message.value);
    // Whoever types is an owner: one that was replaced meanwhile is refused here.
    await deps.workspaces.resolve(target.workspace, target.epoch);
    if ("data" in input) terminal.write(input.data, input.inputId);
    else terminal.resize(input.columns, input.rows, input.inputId);
    if (input.inputId !== "") terminal.confirm(confirmation, input.inputId);
  }
}

type Input = { readonly inputId: string } & ({ readonly data: Uint8Array } | { readonly columns: number; readonly rows: number });

/** What a watcher does, with an id or without one. INVALID_ARGUMENT. */
function readInput({ request }: TerminalServiceAttachRequest): Input {
  const validation = new Validation();
  const [inputId, prefix, input] =
    request.case === "act" ? [request.value.inputId, "act.", request.value.input] : ["", "", fieldOf(request)];
  if (request.case === "act") validation.id("act.input_id", inputId);
  if (input.case === "data") checkInput(validation, request.case === "act" ? "act.data" : "input", input.value);
  else if (input.case === "resize") checkSize(validation, `${prefix}resize.`, input.value);
  else validation.fail(`${prefix}request`, "must be input or a size behind the first message");
  validation.done();
  if (input.case === "data") return { inputId, data: input.value };
  return { inputId, columns: input.value?.columns ?? 0, rows: input.value?.rows ?? 0 };
}

/** A message without an id, in the form of one with an id. */
function fieldOf(request: TerminalServiceAttachRequest["request"]): TerminalInput["input"] {
  if (request.case === "input") return { case: "data", value: request.value };
  if (request.case === "resize") return { case: "resize", value: request.value };
  return { case: undefined };
}
