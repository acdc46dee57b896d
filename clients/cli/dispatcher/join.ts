import { isEncrypted, isLoopback } from "@serverless-harness/kit/address";
import { CliError, ExitCode } from "../errors.ts";
import { parseJson } from "../json.ts";
import { addressOf, type DispatcherAddress } from "./address.ts";
import { askOverHttp, unreachable } from "./http.ts";

const TIMEOUT_MS = 10_000;
const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** A dispatcher, with what proves that it is the right one. */
export interface JoinedDispatcher extends DispatcherAddress {
  /** PEM of its authorities. Default: the system's. */
  readonly ca?: string;
}

/** Throw unless a token is safe on its way to this address. */
export function requireSafeWay(url: string): void {
  const address = addressOf(url);
  if (address.kind === "unix")
    throw new CliError(
      ExitCode.usage,
      "bad_url",
      `${url} is a socket, which no sandbox can dial: write the dispatcher's https://host:port`,
    );
  if (isLoopback(address) || isEncrypted(address)) return;
  throw new CliError(ExitCode.usage, "not_encrypted", `${url} is no https address: the token would be readable on its way`);
}

/** The name that a sandbox has at the dispatcher: its token's subject, which `wanted` may repeat. */
export function sandboxNameOf(token: string, wanted: string | undefined): string {
  const subject = subjectOf(token);
  const name = wanted ?? subject;
  if (name === undefined)
    throw new CliError(
      ExitCode.usage,
      "name_needed",
      "the token names no sandbox: make one with `leaf token create NAME --scope sandboxes:serve`",
    );
  if (!NAME.test(name)) {
    const message = `${JSON.stringify(name)} is no sandbox's name: it may have A-Z a-z 0-9 . _ -, and begins with none of . and -`;
    throw new CliError(ExitCode.usage, "bad_name", message);
  }
  if (subject === undefined || subject === name) return name;
  const message = `the token is for the sandbox ${subject}: leave --name out, or \`leaf token create ${name} --scope sandboxes:serve\``;
  throw new CliError(ExitCode.usage, "foreign_sandbox", message);
}

/** The key by which a sandbox knows the dispatcher's calls. Throws if the dispatcher is not there, or does not take this sandbox. */
export async function readCallersKey(dispatcher: JoinedDispatcher, name: string): Promise<string> {
  const path = `/v1/sandboxes/${name}/key`;
  const { ca } = dispatcher;
  const request = { method: "GET", path, timeoutMs: TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) } as const;
  const { status, body } = await askOverHttp(dispatcher, request).catch((error: NodeJS.ErrnoException) => {
    throw unreachable(
      dispatcher,
      error,
      isOfTls(error) ? ": if its certificate is of an authority of your own, name that with --ca-file" : "",
    );
  });
  const answer = parseJson(body) as { public_key?: unknown; error?: unknown; message?: unknown } | undefined;
  if (status === 200 && typeof answer?.public_key === "string") return answer.public_key;
  if (typeof answer?.error !== "string" || status === 404) {
    const message = `${dispatcher.url} takes no sandboxes: it is no dispatcher, or of an older version`;
    throw new CliError(ExitCode.notRunning, "no_dispatcher", message);
  }
  throw refusedBy(dispatcher.url, status, answer.error, String(answer.message ?? ""));
}

/** A dispatcher's refusal, over plain HTTP, of a sandbox. */
export function refusedBy(url: string, status: number, reason: string, message: string): CliError {
  const isToken = status === 401 || status === 403;
  const advice = status === 401 ? "; make one with `leaf token create NAME --scope sandboxes:serve`" : "";
  return new CliError(isToken ? ExitCode.unauthorised : ExitCode.refused, reason, `${url} does not take this sandbox: ${message}${advice}`);
}

/** Who a token is for, by its own account: the dispatcher checks it. */
function subjectOf(token: string): string | undefined {
  const [, claims = ""] = token.split(".");
  const { sub } = (parseJson(Buffer.from(claims, "base64url").toString()) ?? {}) as { sub?: unknown };
  return typeof sub === "string" ? sub : undefined;
}

function isOfTls({ code = "" }: NodeJS.ErrnoException): boolean {
  return /CERT|SELF_SIGNED|ALTNAME|ISSUER/.test(code);
}
