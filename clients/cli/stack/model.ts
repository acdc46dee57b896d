import type { Environment } from "../config.ts";
import { CliError, ExitCode } from "../errors.ts";
import { missingKey, providersWithKey } from "./providers.ts";

/** The name that asks for the stand-in, even if a key is set. */
export const STAND_IN = "stand-in";
/** The stand-in's model, as events and usage name it. */
const STAND_IN_MODEL = "stand-in/scripted";

const DEFAULT_MODEL = "anthropic/claude-sonnet-4-5";
/** The stand-in accepts any token, but needs one, as the real API does. */
const STAND_IN_TOKEN = "stand-in";
const ANTHROPIC_VARIABLES = [
  "ANTHROPIC_API_KEY",
  "ANTHROPIC_OAUTH_TOKEN",
  "ANTHROPIC_AUTH_TOKEN",
  "ANTHROPIC_BASE_URL",
  "ANTHROPIC_CUSTOM_HEADERS",
  "ANTHROPIC_CUSTOM_MODELS",
];

/** Which model brains will talk to. */
export interface ModelPlan {
  readonly standIn: boolean;
  /** `provider/model`. */
  readonly model: string;
  /** What the user should know about the choice, a line each. */
  readonly notes: readonly string[];
}

/**
 * Choose the model: `wanted` (`--model`), else `LEAF_MODEL`, else Anthropic's if its key is set, else the stand-in. A
 * model whose provider has no key is an error: the stand-in must not answer in its place.
 */
export function planModel(environment: Environment, wanted: string | undefined): ModelPlan {
  const asked = wanted ?? (environment["LEAF_MODEL"] || undefined);
  if (asked === STAND_IN || asked === STAND_IN_MODEL) return { standIn: true, model: STAND_IN_MODEL, notes: [] };
  if (asked !== undefined) return { standIn: false, model: checkedModel(environment, asked), notes: [] };
  if (missingKey("anthropic", environment).length === 0) return { standIn: false, model: DEFAULT_MODEL, notes: [] };
  return { standIn: true, model: STAND_IN_MODEL, notes: [...standInNotes(environment)] };
}

/** The brains' environment for a plan; `standInUrl` is where the stand-in listens. */
export function modelEnvironment(plan: ModelPlan, environment: Environment, standInUrl: string): Environment {
  if (!plan.standIn) return { ...environment, LEAF_MODEL: plan.model };
  const others = Object.entries(environment).filter(([name]) => !ANTHROPIC_VARIABLES.includes(name));
  return {
    ...Object.fromEntries(others),
    LEAF_MODEL: plan.model,
    STAND_IN_BASE_URL: standInUrl,
    STAND_IN_API_KEY: STAND_IN_TOKEN,
  };
}

/** The plan in a few words. */
export function describeModel(plan: ModelPlan): string {
  return plan.standIn ? "scripted stand-in (no language model)" : plan.model;
}

function checkedModel(environment: Environment, model: string): string {
  const [provider = "", ...name] = model.split("/");
  if (provider === "" || name.join("/") === "") {
    throw new CliError(ExitCode.usage, "bad_model", `${JSON.stringify(model)} is no model: write provider/model, as ${DEFAULT_MODEL}`);
  }
  const missing = missingKey(provider, environment);
  if (missing.length === 0) return model;
  const message = `${model} needs a key: set ${missing.join(" or ")}, or use the scripted stand-in with --model ${STAND_IN}`;
  throw new CliError(ExitCode.usage, "missing_provider_key", message);
}

function* standInNotes(environment: Environment): Generator<string> {
  yield "No model key is set, so a scripted stand-in answers, which is no language model.";
  yield "For a real one set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN, or another provider's key and LEAF_MODEL=provider/model; then `leaf down` and `leaf up`.";
  for (const { provider, variable } of providersWithKey(environment)) {
    yield `${variable} is set: to use it, set LEAF_MODEL=${provider}/MODEL as well.`;
  }
}
