import type { Command } from "commander";
import { define } from "../command.ts";
import type { CommonOptions, Context } from "../context.ts";
import { findDispatcher } from "../dispatcher/address.ts";
import { askOverHttp, readHealth, unreachable } from "../dispatcher/http.ts";
import { CliError, ExitCode } from "../errors.ts";
import { parseJson } from "../json.ts";
import { showTable } from "../view/format.ts";

const TIMEOUT_MS = 10_000;

interface LimitsOptions extends CommonOptions {
  readonly tenant?: string;
}

interface Standing {
  readonly limits: Readonly<Record<string, number>>;
  readonly used: Readonly<Record<string, number>>;
}

/** What `GET /v1/limits` answers. */
interface Answer {
  readonly tenant: Standing & { readonly name: string };
  readonly token?: Standing;
}

/** By a limit's name: the name of what is used of it. */
const USED: Readonly<Record<string, string>> = {
  unfinished: "unfinished",
  bytes: "bytes",
  tokens_per_day: "tokens_today",
  usd_per_day: "usd_today",
};

/** Limits that 0 does not switch off. */
const ALWAYS: ReadonlySet<string> = new Set(["weight", "schedules"]);

/** `leaf limits`: what a tenant and a token may use, and what they use. */
export function add(command: Command): void {
  define<LimitsOptions>(command, {
    options: (given) => given.option("--tenant <name>", "whose (default: your token's tenant; the operator's is default)"),
    run: async (context, _args, { tenant = "" }) => {
      const { out } = context;
      const answer = await ask(context, tenant);
      if (out.json) return out.document(answer);
      const ofTenant = rowsOf(`tenant ${answer.tenant.name}`, answer.tenant);
      const ofToken = answer.token === undefined ? [] : rowsOf("token", answer.token);
      showTable(out, ["OF", "LIMIT", "VALUE", "USED"], [...ofTenant, ...ofToken]);
    },
  });
}

async function ask(context: Context, tenant: string): Promise<Answer> {
  const dispatcher = findDispatcher(context);
  const path = `/v1/limits?tenant=${encodeURIComponent(tenant)}`;
  const answered = await askOverHttp(dispatcher, { method: "GET", path, timeoutMs: TIMEOUT_MS }).catch(async (error: Error) => {
    await readHealth(dispatcher);
    throw unreachable(dispatcher, error);
  });
  const { status, body } = answered;
  if (status === 200) return JSON.parse(body) as Answer;
  const known = parseJson(body) as { error?: string; message?: string } | undefined;
  const { error = "refused", message = `the dispatcher answered with status ${status}` } = known ?? {};
  const code = status === 401 || status === 403 ? ExitCode.unauthorised : status === 400 ? ExitCode.usage : ExitCode.refused;
  throw new CliError(code, error, message);
}

function rowsOf(whose: string, { limits, used }: Standing): string[][] {
  return Object.entries(limits).map(([name, value]) => [
    whose,
    name,
    value === 0 && !ALWAYS.has(name) ? "none" : String(value),
    String(used[USED[name] ?? ""] ?? ""),
  ]);
}
