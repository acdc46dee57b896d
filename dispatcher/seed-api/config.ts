import { type Network, parseNetwork } from "@serverless-harness/kit/address-ranges";
import type { EnvReader } from "@serverless-harness/kit/env";
import type { SeedApiSettings } from "./settings.ts";

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_PROVIDER = "anthropic";
const DEFAULT_MODEL = "claude-opus-4-8";
/** The model that one is taken for that only a gateway knows. */
const STANDS_FOR = "claude-sonnet-4-5";
const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_RETRY_AFTER_S = 5;

/** Whether the seed's clients and its settings are served as they are. */
export function isSeedCompat(env: Environment): boolean {
  return env["LEAF_COMPAT"] === "seed";
}

/** The environment with our own names for what the seed's say. What has our name already stays. */
export function withSeedNames(env: Environment): Environment {
  if (!isSeedCompat(env)) return env;
  const custom = env["SH_MODEL_CUSTOM"] === "1" && env["SH_MODEL"] !== undefined;
  const seconds = Number(env["LEAF_RESULT_TTL_SECONDS"]);
  const ours: Environment = {
    LEAF_STORE: env["REDIS_URL"],
    DISPATCHER_LISTEN: env["PORT"] === undefined ? undefined : `http://0.0.0.0:${env["PORT"]}`,
    DISPATCHER_KEEP_LEAVES_HOURS: seconds > 0 ? String(seconds / 3600) : undefined,
    DISPATCHER_VOLUME: env["LEAF_WORK_DIR"],
    LEAF_MODEL: `${env["SH_MODEL_PROVIDER"] ?? DEFAULT_PROVIDER}/${env["SH_MODEL"] ?? DEFAULT_MODEL}`,
    ANTHROPIC_CUSTOM_MODELS: custom ? `${env["SH_MODEL"]}=${STANDS_FOR}` : undefined,
  };
  const missing = Object.entries(ours).filter(([name, value]) => value !== undefined && env[name] === undefined);
  return { ...env, ...Object.fromEntries(missing) };
}

/** Read how the seed's API is served; `env` has our own names. */
export function readSeedApi(reader: EnvReader, env: Environment): SeedApiSettings {
  const compat = reader.choice("LEAF_COMPAT", "off", ["off", "seed"]) === "seed";
  const [provider = DEFAULT_PROVIDER, ...model] = (env["LEAF_MODEL"] ?? "").split("/");
  return {
    compat,
    openNetworks: readNetworks(reader),
    provider: provider || DEFAULT_PROVIDER,
    model: model.join("/"),
    saturationMs: orDefault(env["KAGENTI_SYNC_SATURATION_WAIT_MS"], DEFAULT_WAIT_MS),
    retryAfterS: orDefault(env["KAGENTI_SYNC_SATURATION_RETRY_AFTER_S"], DEFAULT_RETRY_AFTER_S),
  };
}

function readNetworks(reader: EnvReader): readonly Network[] | undefined {
  const text = reader.optional("LEAF_COMPAT_NETWORKS");
  if (text === undefined) return undefined;
  const networks = text.split(/[\s,]+/).filter((entry) => entry !== "");
  return networks.flatMap((entry) => {
    const network = parseNetwork(entry);
    if (network === undefined) reader.problem(`LEAF_COMPAT_NETWORKS: ${JSON.stringify(entry)} is no address or network as 10.0.0.0/8`);
    return network === undefined ? [] : [network];
  });
}

/** As the seed reads its numbers: what is none, or below 0, is the default. */
function orDefault(text: string | undefined, fallback: number): number {
  const value = text === undefined || text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : fallback;
}
