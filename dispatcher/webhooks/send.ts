import * as http from "node:http";
import * as https from "node:https";
import type { AddressRule } from "@serverless-harness/kit/address-rule";
import { HarnessError } from "@serverless-harness/kit/errors";
import { VERSION } from "../version.ts";

/** How an attempt to deliver a message ended. */
export type Delivery =
  | { readonly ok: true }
  /** `text`: why, for people; it names nothing that is inside. `final`: trying again does not help. */
  | { readonly ok: false; readonly text: string; readonly final: boolean; readonly retryAfterMs?: number };

/** What {@link deliver} needs. */
export interface DeliverOptions {
  readonly rule: AddressRule;
  /** From the look at the name to the answer's status, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

const MAX_HEADER_BYTES = 16 * 1024;
/** So much of an answer's body is taken, unread, so that its sender is not cut in the middle. */
const MAX_BODY_BYTES = 64 * 1024;
/** The receiver wants no more messages. */
const GONE = 410;

/**
 * POST a message once. The connection is made to an address that the rule has judged, and no redirect is followed. Of the answer its status is read
 * and nothing else. Never rejects.
 */
export async function deliver(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  options: DeliverOptions,
): Promise<Delivery> {
  const { rule, timeoutMs, signal } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    // A name is looked at when it is looked up; an address never is.
    rule.checkName(url.hostname);
    return judge(await post(url, headers, body, rule, AbortSignal.any([timeout, signal])));
  } catch (error) {
    if (timeout.aborted) return failure(`no answer within ${timeoutMs} ms`);
    return failure(reasonOf(error));
  }
}

/** The status and the headers of the answer. */
function post(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  rule: AddressRule,
  signal: AbortSignal,
): Promise<{ status: number; headers: http.IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === "https:" ? https : http).request(url, {
      method: "POST",
      // A connection of its own: one that is kept was judged by another answer of the name server.
      agent: false,
      lookup: rule.lookup,
      maxHeaderSize: MAX_HEADER_BYTES,
      signal,
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "user-agent": `serverless-harness/${VERSION}`,
        ...headers,
      },
    });
    request.once("response", (response) => {
      resolve({ status: response.statusCode ?? 0, headers: response.headers });
      let taken = 0;
      response.on("data", (piece: Buffer) => {
        taken += piece.length;
        if (taken > MAX_BODY_BYTES) request.destroy();
      });
    });
    // Stays: one that is cut after its answer fails once more.
    request.on("error", reject);
    request.end(body);
  });
}

function judge({ status, headers }: { status: number; headers: http.IncomingHttpHeaders }): Delivery {
  if (status >= 200 && status < 300) return { ok: true };
  if (status === GONE) return failure("it answered 410: it wants no more messages", true);
  if (status >= 300 && status < 400) return failure(`it answered ${status}: redirects are not followed`);
  const after = retryAfterMs(headers["retry-after"]);
  return { ...failure(`it answered ${status}`), ...(after === undefined ? {} : { retryAfterMs: after }) };
}

function failure(text: string, final = false): Delivery & { ok: false } {
  return { ok: false, text, final };
}

/** Seconds, or a date. */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** The rule's own words, or a code: what a system says of an error may name an address that is not for a caller to learn. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof HarnessError ? error.cause : error;
  if (cause instanceof HarnessError) return cause.message;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
  return code === undefined ? "no connection could be made" : `no connection could be made (${code})`;
}
