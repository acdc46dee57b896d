import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { NOT_PUBLIC_IPV4 } from "@serverless-harness/kit/address-ranges";
import type { AllowedHosts } from "@serverless-harness/kit/address-rule";
import type { Logger } from "@serverless-harness/kit/log";

/** Addresses that slirp4netns answers by itself. */
export const NAME_SERVER = "10.0.2.3";
export const HOST_LOOPBACK = "10.0.2.2";

/** What the commands of a workspace reach. */
export interface Reach {
  /** Rules of nftables for what they send. */
  readonly rules: string;
  /** The machine's loopback is among it, as {@link HOST_LOOPBACK}. */
  readonly hostLoopback: boolean;
}

/**
 * Public addresses, and the hosts that were allowed: their names as they are resolved now. The machine's own
 * addresses are refused even if they are public, as what listens on them may expect a firewall in front. A filter
 * does that and no routes: these don't hold for who names a device (SO_BINDTODEVICE). It refuses at once, so that
 * nothing waits for an answer. slirp4netns speaks IPv4 here.
 */
export async function reachOf(allowed: AllowedHosts, log: Logger): Promise<Reach> {
  const named = await Promise.all([...allowed.names].map((name) => addressesOf(name, log)));
  const networks = allowed.networks.filter(({ family }) => family === 4).map(({ address, bits }) => `${dotted(address)}/${bits}`);
  const reachable = [...named.flat(), ...networks];
  const hostLoopback = reachable.some((address) => address.startsWith("127."));
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const refused = [...NOT_PUBLIC_IPV4, ...own.filter(({ family }) => family === "IPv4").map(({ address }) => address)];
  const accepted = [...reachable, ...(hostLoopback ? [HOST_LOOPBACK] : [])];
  const rules = [
    "add table inet hands",
    "add chain inet hands output { type filter hook output priority 0; policy accept; }",
    set("refused", refused),
    ...(accepted.length === 0 ? [] : [set("accepted", accepted)]),
    'add rule inet hands output oifname "lo" accept',
    "add rule inet hands output meta nfproto ipv6 reject with icmpx admin-prohibited",
    `add rule inet hands output ip daddr ${NAME_SERVER} meta l4proto { tcp, udp } th dport 53 accept`,
    ...(accepted.length === 0 ? [] : ["add rule inet hands output ip daddr @accepted accept"]),
    "add rule inet hands output ip daddr @refused reject with icmpx admin-prohibited",
  ];
  return { rules: rules.join("\n"), hostLoopback };
}

function set(name: string, elements: readonly string[]): string {
  return `add set inet hands ${name} { type ipv4_addr; flags interval; auto-merge; elements = { ${elements.join(", ")} }; }`;
}

async function addressesOf(name: string, log: Logger): Promise<string[]> {
  try {
    return (await lookup(name, { all: true, family: 4 })).map(({ address }) => address);
  } catch (error) {
    log.warn({ host: name, err: error }, "a host of HANDS_PRIVATE_HOSTS has no IPv4 address: commands don't reach it");
    return [];
  }
}

function dotted(address: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (address >> shift) & 255n).join(".");
}
