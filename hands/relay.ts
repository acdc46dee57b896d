import { isEncrypted, isLoopback, parseTarget, type Target } from "@serverless-harness/kit/address";
import type { EnvReader, NamedFile } from "@serverless-harness/kit/env";
import { type ClientTlsFiles, readClientTls } from "@serverless-harness/kit/tls";

/** How relays are reached that hand calls on to this daemon. */
export interface RelayConfig {
  /** Each with the path at which it takes this sandbox. */
  readonly targets: readonly Target[];
  /** File with the token that a relay lets this sandbox in by. */
  readonly tokenFile: NamedFile;
  /** For an https address. */
  readonly tls: ClientTlsFiles;
}

/** Read how relays are reached; `undefined` if there is none. */
export function readRelay(env: EnvReader, publicKeyFile: string | undefined, network: string): RelayConfig | undefined {
  const text = env.optional("HANDS_RELAY_URL");
  const tokenFile = env.file("HANDS_RELAY_TOKEN_FILE");
  const tls: ClientTlsFiles = {
    ca: env.file("HANDS_RELAY_TLS_CA_FILE"),
    cert: env.file("HANDS_RELAY_TLS_CERT_FILE"),
    key: env.file("HANDS_RELAY_TLS_KEY_FILE"),
  };
  if (text === undefined) {
    for (const { variable, path } of [tokenFile, ...Object.values(tls)])
      if (path !== undefined) env.problem(`${variable} is set, and HANDS_RELAY_URL is not`);
    return undefined;
  }
  const urls = text.split(",").map((url) => url.trim());
  const targets = urls.map((url) => readTarget(env, url)).filter((target) => target !== undefined);
  const twice = urls.find((url, i) => urls.indexOf(url) !== i);
  if (twice !== undefined) env.problem(`HANDS_RELAY_URL names ${JSON.stringify(twice)} twice: each relay takes a sandbox once`);
  if (tokenFile.path === undefined)
    env.problem("HANDS_RELAY_TOKEN_FILE is not set: the relay admits a sandbox by a token: make one with `leaf token create`");
  if (publicKeyFile === undefined)
    env.problem("HANDS_PUBLIC_KEY_FILE is not set: with HANDS_RELAY_URL hands needs the key that verifies the tokens of calls");
  if (network === "none") env.problem("HANDS_NETWORK=none lets hands reach no relay: leave HANDS_RELAY_URL out");
  const first = targets.find(({ address }) => isEncrypted(address)) ?? targets[0];
  if (first !== undefined) readClientTls(env, first.address, tls);
  return { targets, tokenFile, tls };
}

function readTarget(env: EnvReader, url: string): Target | undefined {
  const target = parseTarget(url);
  if (target === undefined || target.prefix === "") {
    const example = "https://dispatcher:7433/v1/sandboxes/NAME/attach";
    env.problem(
      `HANDS_RELAY_URL is ${JSON.stringify(url)}: it must be where a relay takes this sandbox, as ${example}; several with commas`,
    );
    return undefined;
  }
  if (!isEncrypted(target.address) && !isLoopback(target.address))
    env.problem("HANDS_RELAY_URL must begin with https: unless the relay is on this machine: the token would be readable on its way");
  return target;
}
