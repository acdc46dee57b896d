import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { Target } from "../address.ts";
import { DialOut, type DialOutOptions } from "./dial-out.ts";

/** How to offer a server to relays. */
export interface RelaysOptions extends Omit<DialOutOptions, "relay" | "at"> {
  /** Each is dialled at every address that its name has. */
  readonly relays: readonly Target[];
  /** The addresses of a name at this moment. Default: what the system's resolver says. */
  readonly addressesOf?: (host: string) => Promise<readonly string[]>;
}

/** How often names are looked up again: relays come and go. */
const LOOK_MS = 5000;

/**
 * Keeps a connection up to each of several relays, so that a server is reached while one of them is there. A name with several addresses, as
 * Kubernetes' headless services have, is as many relays.
 */
export class Relays {
  readonly #named: readonly NamedRelay[];

  constructor({ relays, addressesOf = systemAddresses, ...options }: RelaysOptions) {
    this.#named = relays.map((relay) => new NamedRelay({ ...options, relay }, addressesOf));
  }

  /** Why there is no connection at this moment, for each address that is dialled; `undefined` if there is one. */
  get problems(): Array<string | undefined> {
    return this.#named.flatMap((named) => named.problems);
  }

  /** Connect, and connect again whenever a connection is lost, until {@link close}. */
  start(): void {
    for (const named of this.#named) named.start();
  }

  /** Connect no more. The server closes the connections there are when it closes itself. */
  async close(): Promise<void> {
    await Promise.all(this.#named.map((named) => named.close()));
  }
}

/** One name, and the connections to what it stands for. */
class NamedRelay {
  readonly #options: Omit<DialOutOptions, "at">;
  readonly #addressesOf: (host: string) => Promise<readonly string[]>;
  readonly #ended = new AbortController();
  /** By address; `undefined` if the name itself is dialled. */
  readonly #dialOuts = new Map<string | undefined, DialOut>();

  constructor(options: Omit<DialOutOptions, "at">, addressesOf: (host: string) => Promise<readonly string[]>) {
    this.#options = options;
    this.#addressesOf = addressesOf;
  }

  get problems(): Array<string | undefined> {
    return [...this.#dialOuts.values()].map(({ problem }) => problem);
  }

  start(): void {
    void this.#keepLooking();
  }

  async close(): Promise<void> {
    this.#ended.abort();
    await Promise.all([...this.#dialOuts.values()].map((dialOut) => dialOut.close()));
  }

  /** Never rejects. */
  async #keepLooking(): Promise<void> {
    const { signal } = this.#ended;
    const { address } = this.#options.relay;
    if (address.kind === "unix" || isIP(address.host) !== 0) return this.#dial([undefined]);
    while (!signal.aborted) {
      // A resolver that fails changes nothing; that a name is unknown is told by whoever dials it.
      const addresses = await this.#addressesOf(address.host).catch(() => undefined);
      if (!signal.aborted && (addresses !== undefined || this.#dialOuts.size === 0)) this.#follow(addresses ?? []);
      await wait(LOOK_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Dial what is new. What is not among the addresses any more is dialled no more, but a connection that it has stays. */
  #follow(addresses: readonly string[]): void {
    const wanted: ReadonlyArray<string | undefined> = addresses.length > 1 ? addresses : [undefined];
    for (const [at, dialOut] of this.#dialOuts) {
      if (wanted.includes(at) || dialOut.problem === undefined) continue;
      this.#dialOuts.delete(at);
      void dialOut.close();
    }
    const connected = new Set([...this.#dialOuts.values()].map(({ peer }) => peer));
    const isConnected = (at: string | undefined): boolean =>
      (at === undefined ? addresses : [at]).some((address) => connected.has(address));
    this.#dial(wanted.filter((at) => !isConnected(at)));
  }

  #dial(wanted: ReadonlyArray<string | undefined>): void {
    for (const at of wanted) {
      if (this.#dialOuts.has(at)) continue;
      const dialOut = new DialOut({ ...this.#options, ...(at === undefined ? {} : { at }) });
      this.#dialOuts.set(at, dialOut);
      dialOut.start();
    }
  }
}

/** Of one family: a relay that has an address of each is one relay. */
async function systemAddresses(host: string): Promise<string[]> {
  const found = await lookup(host, { all: true });
  const of = (family: number): string[] => [...new Set(found.filter((one) => one.family === family).map(({ address }) => address))];
  const [v4, v6] = [of(4), of(6)];
  return v6.length > v4.length ? v6 : v4;
}
