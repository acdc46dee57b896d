import { type Address, parseAddress } from "../address.ts";
import { EnvReader } from "../env.ts";

/** Settings of the stand-in model. */
export interface Config {
  /** `MODEL_LISTEN`: where it listens, as `http://host:port`; port 0 (the default) takes a free port. */
  readonly address: Extract<Address, { kind: "tcp" }>;
}

/** Read the environment. Throws a ConfigError that lists every problem. */
export function readConfig(environment: Readonly<Record<string, string | undefined>> = process.env): Config {
  const env = new EnvReader(environment);
  const text = env.string("MODEL_LISTEN", "http://127.0.0.1:0");
  const address = parseAddress(text);
  if (address?.kind === "tcp") return env.done({ address });
  env.problem(`MODEL_LISTEN is ${JSON.stringify(text)}: it must be http://host:port`);
  return env.done({ address: { kind: "tcp", host: "", port: 0 } });
}
