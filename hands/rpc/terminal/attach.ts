import { create } from "@bufbuild/protobuf";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import type { TerminalService, TerminalServiceAttachRequest, TerminalTarget } from "@serverless-harness/proto/hands";
import { TerminalServiceAttachResponseSchema } from "@serverless-harness/proto/hands";
import type { Terminal } from "../../terminals/terminal.ts";
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
    const refused = takeInput(messages, deps, target, terminal).catch((error: unknown) => {
      stop.abort();
      throw error;
    });
    refused.catch(() => undefined);
    yield create(TerminalServiceAttachResponseSchema, { event: { case: "terminal", value: terminalMessage(terminal) } });
    for await (const update of terminal.watch(Number(target.fromOffset), AbortSignal.any([context.signal, stop.signal]))) {
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

async function takeInput(messages: Messages, deps: TerminalDeps, target: TerminalTarget, terminal: Terminal): Promise<void> {
  for (let message = await messages.next(); !message.done; message = await messages.next()) {
    const { request } = message.value;
    const validation = new Validation();
    if (request.case === "input") checkInput(validation, "input", request.value);
    else if (request.case === "resize") checkSize(validation, "resize.", request.value);
    else validation.fail("request", "must be `input` or `resize` behind the first message");
    validation.done();
    // Whoever types is an owner: one that was replaced meanwhile is refused here.
    await deps.workspaces.resolve(target.workspace, target.epoch);
    if (request.case === "input") terminal.write(request.value);
    else if (request.case === "resize") terminal.resize(request.value.columns, request.value.rows);
  }
}
