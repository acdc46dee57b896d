import { isIPv4, isIPv6 } from "node:net";

/** A range of addresses that no untrusted text may lead to. */
export interface AddressRange {
  /** As `10.0.0.0/8`. */
  readonly network: string;
  /** What an address in it is, for messages: "a private address". */
  readonly what: string;
}

const PRIVATE = "a private address";
const LOCAL = "a link-local address, as those of metadata services are";
const RESERVED = "a reserved address";

/**
 * What is not a public address, by IANA's registries of special-purpose addresses, and the metadata services that have a public one. Networks for
 * documentation are left out: nothing answers there, unless somebody made it.
 */
const RANGES_4: readonly AddressRange[] = [
  { network: "0.0.0.0/8", what: "an address of this machine" },
  { network: "10.0.0.0/8", what: PRIVATE },
  { network: "100.64.0.0/10", what: "a private address of a provider's network" },
  { network: "127.0.0.0/8", what: "a loopback address" },
  { network: "168.63.129.16/32", what: "the address of a metadata service" },
  { network: "169.254.0.0/16", what: LOCAL },
  { network: "172.16.0.0/12", what: PRIVATE },
  { network: "192.0.0.0/24", what: RESERVED },
  { network: "192.88.99.0/24", what: "the address of a tunnel" },
  { network: "192.168.0.0/16", what: PRIVATE },
  { network: "198.18.0.0/15", what: "an address for benchmarks" },
  { network: "224.0.0.0/4", what: "a multicast address" },
  { network: "240.0.0.0/4", what: RESERVED },
];

/** After these 96 bits come the 32 of the IPv4 address that a translator makes of it. */
const TRANSLATED = "64:ff9b::";

const RANGES_6: readonly AddressRange[] = [
  { network: "::1/128", what: "a loopback address" },
  { network: "::/96", what: "an address of this machine" },
  { network: "::ffff:0:0/96", what: "an IPv4 address in another form" },
  { network: "64:ff9b:1::/48", what: PRIVATE },
  { network: "100::/64", what: RESERVED },
  { network: "2001::/32", what: "the address of a tunnel" },
  { network: "2002::/16", what: "the address of a tunnel" },
  { network: "5f00::/16", what: RESERVED },
  { network: "fc00::/7", what: PRIVATE },
  { network: "fe80::/10", what: LOCAL },
  { network: "fec0::/10", what: PRIVATE },
  { network: "ff00::/8", what: "a multicast address" },
  ...RANGES_4.map(({ network, what }) => {
    const [address = "", bits] = network.split("/");
    return { network: `${TRANSLATED}${address}/${96 + Number(bits)}`, what };
  }),
];

/** What a packet filter for IPv4 refuses. */
export const NOT_PUBLIC_IPV4: readonly string[] = RANGES_4.map(({ network }) => network);

/** A network of addresses. */
export interface Network {
  readonly family: 4 | 6;
  readonly address: bigint;
  /** How many leading bits are the network's. */
  readonly bits: number;
}

/** Read `10.0.0.0/8`, `fd00::/8` or one address. `undefined` for anything else. */
export function parseNetwork(text: string): Network | undefined {
  const [host = "", length, rest] = text.split("/");
  const address = addressBits(host);
  if (address === undefined || rest !== undefined || (length !== undefined && !/^\d{1,3}$/.test(length))) return undefined;
  const width = address.family === 4 ? 32 : 128;
  const bits = length === undefined ? width : Number(length);
  return bits > width ? undefined : { family: address.family, address: address.value, bits };
}

/** An address is in a network. An IPv4 address in IPv6's form is the IPv4 address. */
export function isInNetwork(address: string, network: Network): boolean {
  const found = plain(address);
  if (found?.family !== network.family) return false;
  const shift = BigInt((network.family === 4 ? 32 : 128) - network.bits);
  return found.value >> shift === network.address >> shift;
}

const PARSED = [...RANGES_4, ...RANGES_6].map((range) => ({ ...range, parsed: parseNetwork(range.network) }));

/** Why an address is no public one, as "a private address"; `undefined` if it is one. Of what is no address: "no address". */
export function notPublic(address: string): string | undefined {
  if (plain(address) === undefined) return "no address";
  return PARSED.find(({ parsed }) => parsed !== undefined && isInNetwork(address, parsed))?.what;
}

interface Bits {
  readonly family: 4 | 6;
  readonly value: bigint;
}

/** The address that a connection would be made to: IPv4 if IPv6 only wraps it. */
function plain(address: string): Bits | undefined {
  const bits = addressBits(address);
  return bits?.family === 6 && bits.value >> 32n === 0xffffn ? { family: 4, value: bits.value & 0xffff_ffffn } : bits;
}

/** `undefined` for anything but an address in one of its regular forms, whatever a resolver may take besides. */
function addressBits(text: string): Bits | undefined {
  const [address = ""] = text.split("%");
  if (isIPv4(address)) return { family: 4, value: joined(address.split("."), 8n, 10) };
  if (!isIPv6(address)) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const hex = (high: string | undefined, low: string | undefined): string => (Number(high) * 256 + Number(low)).toString(16);
  const colons = dotted === null ? address : `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}`;
  const [before = "", after] = colons.split("::");
  const head = before === "" ? [] : before.split(":");
  const tail = after === undefined || after === "" ? [] : after.split(":");
  return { family: 6, value: joined([...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail], 16n, 16) };
}

function joined(parts: readonly string[], width: bigint, radix: number): bigint {
  return parts.reduce((value, part) => (value << width) | BigInt(Number.parseInt(part, radix)), 0n);
}
