import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { Logger } from "@serverless-harness/kit/log";
import type { Exec } from "./exec.ts";

const PER_EXEC = 16;
const TIMEOUT_MS = 5000;
/** Between tries: doubled from the first to the longest. Whoever is told may be starting again just then. */
const PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** About half an hour in all. */
const TRIES = 64;

/** Tells others when execs have ended, so that they need not hold a connection for it. */
export class EndNotices {
  readonly #log: Logger;
  readonly #waiting = new WeakMap<Exec, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** POST `body` to `url` when the exec has ended. RESOURCE_EXHAUSTED if too many wait for it already. */
  add(exec: Exec, url: URL, body: string): void {
    const waiting = this.#waiting.get(exec) ?? 0;
    if (waiting >= PER_EXEC) {
      const text = `${PER_EXEC} want to hear of this exec's end already: wait for it with Attach instead`;
      throw new HarnessError(Code.ResourceExhausted, "limit_reached", text, { metadata: { limit: "end_notices", max: String(PER_EXEC) } });
    }
    this.#waiting.set(exec, waiting + 1);
    void exec.settled.then(() => this.#tell(exec, url, body));
  }

  async #tell(exec: Exec, url: URL, body: string): Promise<void> {
    this.#waiting.set(exec, (this.#waiting.get(exec) ?? 1) - 1);
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      try {
        const headers = { "content-type": "application/json" };
        const signal = AbortSignal.timeout(TIMEOUT_MS);
        const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "error" });
        await response.body?.cancel();
        // A refusal is final.
        if (response.status < 500) return;
      } catch (error) {
        // The address may hold a secret, and so may what an error says of it.
        this.#log.debug({ exec: exec.id, host: url.host, attempt, code: codeOf(error) }, "the end of an exec could not be reported");
      }
      await sleep(Math.min(PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS), undefined, { ref: false });
    }
    this.#log.info({ exec: exec.id, host: url.host }, "the end of an exec could not be reported: whoever waits for it has to look");
  }
}

function codeOf(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
}

interface Address {
  readonly protocol: string;
  readonly host: string;
  /** `undefined`: any. */
  readonly port: string | undefined;
  readonly path: string;
}

const FORM = /^(https?):\/\/([^/:@?#\s]+|\[[0-9a-fA-F:.]+\])(?::(\d+|\*))?(\/[^?#\s]*)$/;

/** The addresses that ends of execs may be told to: those that an operator named, and no other that a caller thinks of. */
export class NoticeAddresses {
  readonly #addresses: readonly Address[];

  private constructor(addresses: readonly Address[]) {
    this.#addresses = addresses;
  }

  /**
   * Read `http://dispatcher:7433/wake`, several separated by commas. The port `*` stands for any. Throws an Error
   * that names a wrong one.
   */
  static parse(text: string): NoticeAddresses {
    const entries = text.split(/[\s,]+/).filter((entry) => entry !== "");
    return new NoticeAddresses(entries.map(readAddress));
  }

  /** PERMISSION_DENIED `address_refused` for any other address. */
  check(url: URL): void {
    const isNamed = this.#addresses.some(
      ({ protocol, host, port, path }) =>
        url.protocol === protocol && url.hostname === host && url.pathname === path && (port === undefined || url.port === port),
    );
    if (isNamed && url.search === "" && url.username === "" && url.password === "") return;
    throw new HarnessError(
      Code.PermissionDenied,
      "address_refused",
      "hands reports ends only to the addresses in HANDS_NOTIFY_URL: set it to the dispatcher's, as http://dispatcher:7433/wake",
    );
  }
}

function readAddress(text: string): Address {
  const [, scheme, host, port, path] = FORM.exec(text) ?? [];
  const plain = `${scheme}://${host}${port === undefined || port === "*" ? "" : `:${port}`}${path}`;
  if (scheme === undefined || !URL.canParse(plain)) throw new Error(`${JSON.stringify(text)} is no address as http://dispatcher:7433/wake`);
  const url = new URL(plain);
  return { protocol: url.protocol, host: url.hostname, port: port === "*" ? undefined : url.port, path: url.pathname };
}
