import { lookup as resolveName } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { Code } from "@connectrpc/connect";
import { isInNetwork, type Network, notPublic, parseNetwork } from "./address-ranges.ts";
import { HarnessError } from "./errors.ts";

/** An address that a connection may be made to. */
export interface ReachableAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Hosts that may be reached though their addresses are not public: names as they are asked for, and networks. */
export interface AllowedHosts {
  readonly names: ReadonlySet<string>;
  readonly networks: readonly Network[];
}

/** Longest list of {@link readAllowedHosts}. */
const MAX_ALLOWED = 100;
const NAME = /^(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*$/;

/** Read `git.corp.example, 10.1.0.0/16, 192.168.1.7`. Returns a text that says what is wrong if an entry is none of these. */
export function readAllowedHosts(text: string): AllowedHosts | string {
  const entries = text.split(/[\s,]+/).filter((entry) => entry !== "");
  if (entries.length > MAX_ALLOWED) return `it has ${entries.length} entries, ${MAX_ALLOWED} at most are allowed`;
  const names = new Set<string>();
  const networks: Network[] = [];
  for (const entry of entries) {
    const network = parseNetwork(entry);
    const name = canonicalHost(entry);
    if (network !== undefined) networks.push(network);
    else if (name !== undefined && isIP(name) === 0 && NAME.test(name)) names.add(name);
    else return `${JSON.stringify(entry)} is neither a host's name nor an address or a network as 10.0.0.0/8`;
  }
  return { names, networks };
}

/**
 * Decides which hosts a text of a caller, a model or a command may lead a service to: public addresses, and what an operator allowed. A name
 * is judged by all the addresses that it has, and a connection must be made to one of those that were judged, or another answer of the name
 * server would lead elsewhere a moment later: take {@link addresses} and connect to them, or give {@link lookup} to the client. Each
 * redirect is a new address to ask about.
 */
export class AddressRule {
  readonly #allowed: AllowedHosts;
  readonly #setting: string;

  /** `setting`: the variable with the allowed hosts, which messages name. */
  constructor(allowed: AllowedHosts, setting: string) {
    this.#allowed = allowed;
    this.#setting = setting;
  }

  /**
   * The addresses of a host, all of which may be reached: a name, or an address in any notation that a resolver takes, in brackets or without.
   * PERMISSION_DENIED `address_refused` if one of them may not; UNAVAILABLE `name_unknown` if there is none.
   */
  async addresses(host: string): Promise<ReachableAddress[]> {
    const name = canonicalHost(host);
    if (name === undefined) throw new HarnessError(Code.InvalidArgument, "invalid_argument", `${JSON.stringify(host)} is no host`);
    const found = isIP(name) === 0 ? await resolve(name) : [{ address: name, family: isIP(name) }];
    for (const { address } of found) this.#check(name, address);
    return found.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 }));
  }

  /**
   * Check a host without asking a name server, as a proxy will do that: PERMISSION_DENIED `address_refused` for an address that may not be reached in
   * any notation, and for names that mean this machine.
   */
  checkName(host: string): void {
    const name = canonicalHost(host);
    if (name === undefined) throw new HarnessError(Code.InvalidArgument, "invalid_argument", `${JSON.stringify(host)} is no host`);
    if (isIP(name) !== 0) this.#check(name, name);
    else if (name === "localhost" || name.endsWith(".localhost")) this.#check(name, "127.0.0.1");
  }

  /** An operator named this very host, or a network that it is an address of. */
  allowsByName(host: string): boolean {
    const name = canonicalHost(host);
    if (name === undefined) return false;
    return this.#allowed.names.has(name) || (isIP(name) !== 0 && this.#allowed.networks.some((network) => isInNetwork(name, network)));
  }

  /** For `net.connect`, `http.request` and undici's `connect`. They don't ask it about addresses: {@link checkName} does. An error's cause is the rule's own. */
  readonly lookup: LookupFunction = (host, options, done) => {
    this.addresses(host).then(
      (found) => {
        const wanted = found.filter(({ family }) => ![4, 6].includes(Number(options.family)) || family === options.family);
        const [first] = wanted;
        if (first === undefined) done(new Error(`${host} has no address of that kind`), "", 0);
        else if (options.all === true) done(null, wanted);
        else done(null, first.address, first.family);
      },
      (cause: Error) => done(new Error(cause.message, { cause }), "", 0),
    );
  };

  #check(name: string, address: string): void {
    const what = notPublic(address);
    if (what === undefined || this.#allowed.names.has(name) || this.#allowed.networks.some((network) => isInNetwork(address, network)))
      return;
    // What a name leads to inside is not for a caller to learn.
    const is = isIP(name) === 0 ? `${name} leads to ${what}` : `${name} is ${what}`;
    const text = `${is}, which may not be reached: name a public host, or have the operator allow this one in ${this.#setting}`;
    throw new HarnessError(Code.PermissionDenied, "address_refused", text, { metadata: { host: name } });
  }
}

/** A host as every client reads it: lower case, without brackets and a last dot, an address in its regular form. */
function canonicalHost(host: string): string | undefined {
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (isIP(bare) === 6) return bare.split("%")[0];
  // The parser of URLs knows the notations: 0x7f.1, 2130706433, 0177.0.0.1, full-width digits.
  const url = `http://${bare}/`;
  if (/[/?#@\\:\s]/.test(bare) || !URL.canParse(url)) return undefined;
  return new URL(url).hostname.replace(/\.$/, "");
}

/** As git, ssh and Node resolve it: by the machine's own resolver, its hosts file as well. */
async function resolve(name: string): Promise<Array<{ address: string; family: number }>> {
  try {
    return await resolveName(name, { all: true, verbatim: true });
  } catch (cause) {
    throw new HarnessError(Code.Unavailable, "name_unknown", `${name} has no address: check the name, or try again later`, { cause });
  }
}
