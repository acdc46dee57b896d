import type { DispatcherAddress } from "./dispatcher-address.ts";
import { askOverHttp } from "./dispatcher-http.ts";
import { CliError } from "./errors.ts";
import { ExitCode } from "./exit-codes.ts";

const TIMEOUT_MS = 5000;

/** What the dispatcher says of itself at `GET /health`. */
export interface DispatcherHealth {
  readonly status: string;
  readonly version: string;
  /** Why it is not well, and what to do. */
  readonly problem?: string;
  /** Who starts brains. */
  readonly waker?: "local" | "knative" | "keda" | "none";
  readonly backlog?: { readonly ready: number; readonly running: number; readonly nextDueMs?: number };
  readonly brains?: ReadonlyArray<{ readonly name: string; readonly pid: number; readonly startedAt: number }>;
  readonly brainsStarted?: number;
  readonly brainsCrashed?: number;
  readonly brainSeconds?: number;
}

/** Ask the dispatcher how it is. Throws where it is not there, refuses the token, or is something else. */
export async function readHealth(dispatcher: DispatcherAddress): Promise<DispatcherHealth> {
  const { url } = dispatcher;
  const { status, body } = await askOverHttp(dispatcher, { method: "GET", path: "/health", timeoutMs: TIMEOUT_MS }).catch(
    (error: Error) => {
      // A server of another protocol answers with what is no HTTP.
      if ((error as NodeJS.ErrnoException).code?.startsWith("HPE_")) throw noDispatcher(url, "with something that is no HTTP");
      throw new CliError(
        ExitCode.notRunning,
        "unreachable",
        `can't reach the dispatcher at ${url} (${error.message}): see \`leaf logs dispatcher\``,
      );
    },
  );
  if (status === 401 || status === 403) {
    const message = `the dispatcher at ${url} refused the token: set LEAF_TOKEN to the one that its DISPATCHER_TOKEN_FILE holds`;
    throw new CliError(ExitCode.unauthorised, "unauthorized", message);
  }
  const health = parsed(body);
  if (health === undefined) throw noDispatcher(url, `/health with status ${status}, and not as a dispatcher does`);
  return health;
}

function noDispatcher(url: string, how: string): CliError {
  return new CliError(ExitCode.notRunning, "no_dispatcher", `${url} is no dispatcher: it answered ${how}; check LEAF_URL`);
}

function parsed(body: string): DispatcherHealth | undefined {
  try {
    const value = JSON.parse(body) as Partial<DispatcherHealth> | null;
    return typeof value?.status === "string" && typeof value.version === "string" ? (value as DispatcherHealth) : undefined;
  } catch {
    return undefined;
  }
}
