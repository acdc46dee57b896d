import { Resolver } from "node:dns/promises";
import { isIPv6 } from "node:net";
import { isName } from "@serverless-harness/kit/validate";
import type { FoundSandbox, SandboxSource } from "./source.ts";

/** How often names are looked up, in milliseconds. */
const LOOK_EVERY_MS = 5000;
/** Codes that say that a name has no records. */
const NONE: ReadonlySet<string | undefined> = new Set(["ENOTFOUND", "ENODATA"]);

/** A name whose records are the sandboxes, as a headless service of Kubernetes has them. */
export interface DnsName {
  /** Fully qualified. One that begins with `_` has SRV records. */
  readonly host: string;
  /** SRV records bring their own. */
  readonly port: number | undefined;
  readonly tls: boolean;
}

/** Read `host:port`, or `_service._proto.host` for SRV records; `undefined` if it is neither. */
export function parseDnsName(text: string): Omit<DnsName, "tls"> | undefined {
  const [, host = "", digits] = /^((?=.{1,253}(?::|$))\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? undefined : Number(digits);
  if (host === "" || host.startsWith("_") !== (port === undefined) || port === 0 || (port ?? 1) > 65_535) return undefined;
  return { host, port };
}

/** Sandboxes that a name of the DNS leads to: each is named by its address or, if it has an SRV record, by the first label of its target. */
export class DnsSandboxes implements SandboxSource {
  readonly #name: DnsName;
  readonly #resolver: Resolver;
  readonly #everyMs: number;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #found: readonly FoundSandbox[] = [];

  /** `resolver`: default: the machine's servers. `everyMs`: the name is looked up no more often. */
  constructor(name: DnsName, resolver = new Resolver({ timeout: 2000, tries: 2 }), everyMs = LOOK_EVERY_MS) {
    this.#name = name;
    this.#everyMs = everyMs;
    this.#resolver = resolver;
  }

  found(): readonly FoundSandbox[] {
    return this.#found;
  }

  async look(): Promise<void> {
    const now = performance.now();
    if (now - this.#lookedAtMs < this.#everyMs) return;
    this.#lookedAtMs = now;
    this.#found = this.#name.port === undefined ? await this.#targets() : await this.#addresses(this.#name.port);
  }

  async #addresses(port: number): Promise<FoundSandbox[]> {
    const { host } = this.#name;
    const [v4, v6] = await Promise.all([records(this.#resolver.resolve4(host)), records(this.#resolver.resolve6(host))]);
    return [...v4, ...v6].map((ip) => this.#sandbox(isIPv6(ip) ? `ip6-${ip.replaceAll(":", "-")}` : ip, ip, port));
  }

  async #targets(): Promise<FoundSandbox[]> {
    const found = await records(this.#resolver.resolveSrv(this.#name.host));
    return found
      .map(({ name, port }) => this.#sandbox(name.split(".")[0] ?? "", name.replace(/\.$/, ""), port))
      .filter(({ name }) => isName(name));
  }

  #sandbox(name: string, host: string, port: number): FoundSandbox {
    const scheme = this.#name.tls ? "https" : "http";
    return { name, address: `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`, tenant: "" };
  }
}

/** None if there are none; what keeps the question from an answer is thrown. */
async function records<T>(answer: Promise<readonly T[]>): Promise<readonly T[]> {
  return await answer.catch((error: NodeJS.ErrnoException) => {
    if (NONE.has(error.code)) return [];
    throw error;
  });
}
