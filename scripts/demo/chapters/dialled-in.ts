import { readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Finding, time } from "../claims.ts";
import { Enclave } from "../enclave.ts";
import { find, type World } from "../world.ts";

const NAME = "laptop";
const NETWORK = "/proc/self/ns/net";
/** Its network, and the devices in it. */
const COMMAND = `readlink ${NETWORK}; cut -d: -f1 -s /proc/net/dev | sort | xargs`;

/** `leaf sandbox join` in a network namespace that NAT alone connects to this machine: nobody can connect to what is in it. */
export async function dialledIn(world: World): Promise<Finding> {
  const { secret } = await world.tokens.create({ subject: NAME, scopes: ["sandboxes:serve"], lifeSeconds: 300n });
  const dir = join(world.info.dir, "laptop");
  const tokenFile = `${dir}.token`;
  writeFileSync(tokenFile, secret, { mode: 0o600 });
  const startedAtMs = Date.now();
  const enclave = await Enclave.open(world.info.url, `${dir}.ca`);
  try {
    const { artifacts, artifactsKey } = world.paths;
    const store = ["--artifacts", artifacts, "--artifacts-key-file", artifactsKey];
    const ended = enclave.leaf(
      "sandbox",
      "join",
      enclave.url,
      "--token-file",
      tokenFile,
      "--ca-file",
      `${dir}.ca`,
      "--dir",
      dir,
      ...store,
      ...PLAIN,
    );
    await Promise.race([world.untilThere(NAME, true), ended]);
    const joined_ms = Date.now() - startedAtMs;
    const turn = await world.turn(`Run: ${COMMAND}`, { spec: { sandbox: { labels: { where: NAME } } } });
    const [network = "", devices = ""] = (find(turn, "toolEnded")?.value.text ?? "").trim().split("\n");
    const sandbox = find(turn, "placed")?.value.sandbox;
    const isApart = network.startsWith("net:[") && network !== readlinkSync(NETWORK) && devices === "lo tap0";
    return {
      holds: sandbox === NAME && isApart,
      seen: `${time(joined_ms)} after its start it was a sandbox of the pool; a command in it is in network ${network}, whose devices are ${devices}`,
      measured: { joined_ms },
    };
  } finally {
    await enclave.close();
  }
}

/** Without a jail: the namespace is all that is shown here. */
const PLAIN = ["--sandbox", "process", "--label", `where=${NAME}`];
