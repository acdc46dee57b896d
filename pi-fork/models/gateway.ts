import { Code } from "@connectrpc/connect";
import type { Api, Model, Provider } from "@earendil-works/pi-ai";
import { HarnessError } from "@serverless-harness/kit/errors";

/** How a provider's models are reached by way of somebody else: a proxy, or a gateway for all of a company. */
export interface Gateway {
  /** Takes the place of the part of the provider's addresses that all of them begin with. */
  readonly baseUrl: string | undefined;
  /** Go with every request, beside the provider's own. */
  readonly headers: Readonly<Record<string, string>>;
  /** Names that only the gateway knows, and the models of the provider that they stand for. */
  readonly aliases: ReadonlyMap<string, string>;
}

/**
 * Read the variables of a provider's gateway, which begin with the provider's name, as `OPENAI_BASE_URL`. FAILED_PRECONDITION
 * `bad_gateway_setting` names one that can't be used, and never its value, which may be secret.
 */
export function readGateway(providerId: string, variable: (name: string) => string | undefined): Gateway {
  const prefix = providerId.toUpperCase().replaceAll("-", "_");
  const read = (suffix: string): readonly [name: string, value: string | undefined] => {
    const name = `${prefix}_${suffix}`;
    return [name, variable(name)];
  };
  const aliases = pairs(...read("CUSTOM_MODELS"), /[,\n]/, "=", "pairs like my-name=known-model with commas between them");
  const headers = pairs(...read("CUSTOM_HEADERS"), /\n/, ":", "a header in each line, like X-Team: blue");
  return { baseUrl: address(...read("BASE_URL")), headers: Object.fromEntries(headers), aliases };
}

function address(name: string, value: string | undefined): string | undefined {
  if (value === undefined || (URL.canParse(value) && /^https?:$/.test(new URL(value).protocol))) return value?.replace(/\/+$/, "");
  throw unusable(name, "an address that begins with http: or https:");
}

function pairs(name: string, value: string | undefined, between: RegExp, inside: string, rule: string): Map<string, string> {
  const lines = (value ?? "").split(between).filter((line) => line.trim() !== "");
  const found = lines.map((line) => {
    const at = line.indexOf(inside);
    return [line.slice(0, Math.max(0, at)).trim(), line.slice(at + 1).trim()] as const;
  });
  if (found.some(([key, word]) => key === "" || word === "")) throw unusable(name, rule);
  return new Map(found);
}

/** The provider, reached by way of its gateway. The harness looks models up by id again and again, so they are changed where it looks. */
export function throughGateway(provider: Provider, { baseUrl, headers, aliases }: Gateway): Provider {
  if (baseUrl === undefined && aliases.size === 0 && Object.keys(headers).length === 0) return provider;
  const reached = (model: Model<Api>, own: string): Model<Api> => ({
    ...model,
    headers: { ...model.headers, ...headers },
    ...(baseUrl === undefined ? {} : { baseUrl: model.baseUrl.startsWith(own) ? baseUrl + model.baseUrl.slice(own.length) : baseUrl }),
  });
  const getModels = (): Array<Model<Api>> => {
    const models = [...provider.getModels()];
    for (const [id, known] of aliases) {
      const model = models.find((each) => each.id === known);
      if (model !== undefined) models.push({ ...model, id, name: id });
    }
    const own = models
      .map((model) => model.baseUrl)
      .reduce((shortest, each) => (each.length < shortest.length ? each : shortest), " ".repeat(999));
    return models.map((model) => reached(model, own));
  };
  return { ...provider, ...(baseUrl === undefined ? {} : { baseUrl }), getModels };
}

function unusable(name: string, rule: string): HarnessError {
  return new HarnessError(Code.FailedPrecondition, "bad_gateway_setting", `${name} can't be used: it must be ${rule}`);
}
