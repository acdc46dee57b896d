import type { LimitsOptions } from "../commands/limits.ts";
import type { Context } from "../context.ts";
import { findDispatcher } from "../dispatcher-address.ts";
import { readHealth } from "../dispatcher-health.ts";
import { askOverHttp, unreachable } from "../dispatcher-http.ts";
import { CliError } from "../errors.ts";
import { ExitCode } from "../exit-codes.ts";
import { table } from "../view/table.ts";

const TIMEOUT_MS = 10_000;

interface Standing {
  readonly limits: Readonly<Record<string, number>>;
  readonly used: Readonly<Record<string, number>>;
}

/** What `GET /v1/limits` answers. */
interface Answer {
  readonly tenant: Standing & { readonly name: string };
  readonly token?: Standing;
}

/** Which number of what is used goes with a limit. */
const USED: Readonly<Record<string, string>> = {
  unfinished: "unfinished",
  bytes: "bytes",
  tokens_per_day: "tokens_today",
  usd_per_day: "usd_today",
};

/** Limits that 0 does not switch off. */
const ALWAYS: ReadonlySet<string> = new Set(["weight", "schedules"]);

/** Does `leaf limits`. */
export async function runLimits(context: Context, _args: readonly string[], { tenant = "" }: LimitsOptions): Promise<ExitCode> {
  const { out } = context;
  const answer = await ask(context, tenant);
  if (out.json) {
    out.document(answer);
    return ExitCode.ok;
  }
  const rows = [
    ...rowsOf(`tenant ${answer.tenant.name}`, answer.tenant),
    ...(answer.token === undefined ? [] : rowsOf("token", answer.token)),
  ];
  for (const line of table(["OF", "LIMIT", "VALUE", "USED"], rows, out.color)) out.line(line);
  return ExitCode.ok;
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
  const { error = "refused", message = `the dispatcher answered with status ${status}` } = errorOf(body);
  const code = status === 401 || status === 403 ? ExitCode.unauthorised : status === 400 ? ExitCode.usage : ExitCode.refused;
  throw new CliError(code, error, message);
}

function errorOf(body: string): { error?: string; message?: string } {
  try {
    return JSON.parse(body) as { error?: string; message?: string };
  } catch {
    return {};
  }
}

function rowsOf(whose: string, { limits, used }: Standing): string[][] {
  return Object.entries(limits).map(([name, value]) => [
    whose,
    name,
    value === 0 && !ALWAYS.has(name) ? "none" : String(value),
    String(used[USED[name] ?? ""] ?? ""),
  ]);
}
