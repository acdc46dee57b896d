import { Code } from "@connectrpc/connect";
import { type Api, createModels, defaultProviderAuthContext, type Model, type Models, type Provider } from "@earendil-works/pi-ai";
import { HarnessError } from "@serverless-harness/kit/errors";
import { withHttpOutcome } from "./answers/http-outcome.ts";
import { withOutputLimit } from "./answers/output-limit.ts";
import { readGateway, throughGateway } from "./gateway.ts";
import { withSoundHistory } from "./history/sound-provider.ts";
import { loadProvider, PROVIDER_IDS } from "./providers.ts";

/** Variables that providers are configured by. */
export type ModelEnvironment = Readonly<Record<string, string | undefined>>;

/** A model that can be asked. */
export interface ResolvedModel {
  readonly model: Model<Api>;
  /** Holds the model's provider and every other that was asked for. */
  readonly models: Models;
}

/** Models that think send signs of life, but for some that say nothing until they are done with it. */
const DEFAULT_SILENCE_MS = 300_000;

/** The models of all providers, one registry per process; a provider is loaded when it is first asked for. */
export class ModelRegistry {
  readonly #env: ModelEnvironment;
  readonly #silenceMs: number;
  readonly #models;
  readonly #providers = new Map<string, Promise<Provider | undefined>>();

  /** `silenceMs`: an answer of which nothing comes for that long is broken off, and asked for again. */
  constructor(env: ModelEnvironment, silenceMs = DEFAULT_SILENCE_MS) {
    this.#env = env;
    this.#silenceMs = silenceMs;
    const { fileExists } = defaultProviderAuthContext();
    this.#models = createModels({ authContext: { env: async (name) => this.#variable(name), fileExists } });
  }

  /**
   * The model of a name as `anthropic/claude-sonnet-4-5`. Throws NOT_FOUND `unknown_provider` or `unknown_model` with names that may have
   * been meant, and FAILED_PRECONDITION `missing_api_key` with the variables to set, or
   * `bad_gateway_setting` with the one that can't be used.
   */
  async resolve(name: string): Promise<ResolvedModel> {
    const slash = name.indexOf("/");
    const providerId = slash === -1 ? name : name.slice(0, slash);
    const provider = await this.load(providerId);
    if (provider === undefined) throw unknownProvider(name, providerId);
    const modelId = name.slice(providerId.length + 1);
    const model = await this.#find(provider, modelId);
    if (model === undefined) throw unknownModel(provider, modelId);
    if ((await this.#models.getAuth(model)) === undefined) throw await this.#missingKey(provider);
    return { model, models: this.#models };
  }

  /** Make a provider's models known, as far as there is such a provider. */
  load(providerId: string): Promise<Provider | undefined> {
    let loading = this.#providers.get(providerId);
    if (loading === undefined) {
      loading = loadProvider(providerId).then((provider) => provider && this.#register(provider));
      this.#providers.set(providerId, loading);
    }
    return loading;
  }

  /** Some providers only tell over the network which models they have. */
  async #find(provider: Provider, modelId: string): Promise<Model<Api> | undefined> {
    const known = this.#models.getModel(provider.id, modelId);
    if (known !== undefined || provider.refreshModels === undefined) return known;
    await this.#models.refresh({ allowNetwork: true, providers: [provider.id] });
    return this.#models.getModel(provider.id, modelId);
  }

  #register(provider: Provider): Provider {
    const gateway = readGateway(provider.id, (name) => this.#variable(name));
    const observed = withHttpOutcome(throughGateway(provider, gateway), this.#silenceMs);
    const sound = withSoundHistory(withOutputLimit(observed));
    this.#models.setProvider(sound);
    return sound;
  }

  #variable(name: string): string | undefined {
    const value = this.#env[name];
    return value === undefined || value.trim() === "" ? undefined : value;
  }

  /** Providers know their variables and don't tell them: watch which ones it asks for. */
  async #missingKey(provider: Provider): Promise<HarnessError> {
    const asked = new Set<string>();
    const env = async (variable: string): Promise<string | undefined> => {
      const value = this.#variable(variable);
      if (value === undefined) asked.add(variable);
      return value;
    };
    const ctx = { env, fileExists: async () => false };
    await provider.auth.apiKey?.resolve({ ctx, signal: new AbortController().signal }).catch(() => undefined);
    const keys = [...asked].filter((variable) => /KEY|TOKEN/.test(variable)).join(" or ");
    const ids = [...asked].filter((variable) => !/KEY|TOKEN/.test(variable) && variable.endsWith("_ID"));
    const variables = [keys, ...ids].filter((variable) => variable !== "");
    const login = "it takes nothing but an interactive login, which a brain can't do: choose another provider";
    const what = variables.length === 0 ? login : `set ${variables.join(" and ")} for the brain`;
    return new HarnessError(Code.FailedPrecondition, "missing_api_key", `no key for the model provider ${provider.id}: ${what}`, {
      metadata: { provider: provider.id },
    });
  }
}

function unknownProvider(name: string, id: string): HarnessError {
  const hint = name.includes("/") ? "" : "; a model is named provider/model";
  const message = `unknown model provider ${JSON.stringify(id)}${hint}. Did you mean ${nearNames(id, PROVIDER_IDS).join(", ")}?`;
  return new HarnessError(Code.NotFound, "unknown_provider", message, { metadata: { provider: id } });
}

function unknownModel(provider: Provider, modelId: string): HarnessError {
  const names = nearNames(
    modelId,
    provider.getModels().map((model) => model.id),
  );
  const near = names.length === 0 ? "" : ` Did you mean ${names.join(", ")}?`;
  return new HarnessError(Code.NotFound, "unknown_model", `the provider ${provider.id} has no model ${JSON.stringify(modelId)}.${near}`, {
    metadata: { provider: provider.id, model: modelId },
  });
}

/** Names most like `name`, the most alike first, at most `limit`: for a message that says what may have been meant. */
export function nearNames(name: string, names: readonly string[], limit = 5): string[] {
  return names
    .map((candidate) => ({ candidate, distance: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance || a.candidate.localeCompare(b.candidate))
    .slice(0, limit)
    .map(({ candidate }) => candidate);
}

/** Levenshtein distance, one row at a time. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
