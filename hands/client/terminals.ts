import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { TerminalService } from "@serverless-harness/proto/hands";
import { present, type Retry } from "./retry.ts";
import { TerminalFollow } from "./terminal-follow.ts";
import type { TerminalsClient } from "./types.ts";

/** What the terminals of a workspace need. */
interface TerminalsOptions {
  readonly transport: Transport;
  readonly name: string;
  readonly epoch: bigint;
  readonly retry: Retry;
  readonly patienceMs: number;
  readonly closed: AbortSignal;
}

/** The terminals of one workspace. Every call may be repeated. */
export function terminalsClient({ transport, name: workspace, epoch, retry, patienceMs, closed }: TerminalsOptions): TerminalsClient {
  let made: Client<typeof TerminalService> | undefined;
  /** Made for the first call, like that of files. */
  const client = (): Client<typeof TerminalService> => {
    made ??= createClient(TerminalService, transport);
    return made;
  };
  const target = (terminalId: string): { terminalId: string; workspace: string; epoch: bigint } => ({ terminalId, workspace, epoch });
  return {
    openTerminal: async ({ terminalId, argv = [], cwd = "", env = {}, columns = 0, rows = 0 }) => {
      const request = { ...target(terminalId), argv: [...argv], cwd, env: { ...env }, columns, rows };
      const { terminal, existed } = await retry(() => client().open(request));
      return { terminal: present(terminal, "terminal"), existed };
    },
    attachTerminal: (terminalId, onUpdate, fromOffset = 0) =>
      new TerminalFollow({ client: client(), ...target(terminalId), fromOffset, onUpdate, patienceMs, closed }),
    writeTerminal: async (terminalId, data, { inputId }) => {
      const { replayed } = await retry(() => client().write({ ...target(terminalId), data, inputId }));
      return { replayed };
    },
    resizeTerminal: async (terminalId, columns, rows) => {
      await retry(() => client().resize({ ...target(terminalId), size: { columns, rows } }));
    },
    terminalScreen: (terminalId, { scrollbackLines = 0 } = {}) => retry(() => client().screen({ ...target(terminalId), scrollbackLines })),
    listTerminals: async () => (await retry(() => client().list({ workspace }))).terminals,
    closeTerminal: async (terminalId) => {
      await retry(() => client().close(target(terminalId)));
    },
  };
}
