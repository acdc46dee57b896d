import type { Environment } from "../config.ts";

/** Variables that hold a provider's key; any one of them is enough. Providers that take keys in other ways are not listed. */
const KEY_VARIABLES: Readonly<Record<string, readonly string[]>> = {
  anthropic: ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_OAUTH_TOKEN"],
  "ant-ling": ["ANT_LING_API_KEY"],
  "azure-openai-responses": ["AZURE_OPENAI_API_KEY"],
  baseten: ["BASETEN_API_KEY"],
  cerebras: ["CEREBRAS_API_KEY"],
  deepseek: ["DEEPSEEK_API_KEY"],
  fireworks: ["FIREWORKS_API_KEY"],
  "github-copilot": ["COPILOT_GITHUB_TOKEN"],
  google: ["GEMINI_API_KEY"],
  groq: ["GROQ_API_KEY"],
  huggingface: ["HF_TOKEN"],
  "kimi-coding": ["KIMI_API_KEY"],
  meta: ["META_API_KEY"],
  minimax: ["MINIMAX_API_KEY"],
  "minimax-cn": ["MINIMAX_CN_API_KEY"],
  mistral: ["MISTRAL_API_KEY"],
  moonshotai: ["MOONSHOT_API_KEY"],
  "moonshotai-cn": ["MOONSHOT_API_KEY"],
  nvidia: ["NVIDIA_API_KEY"],
  openai: ["OPENAI_API_KEY"],
  opencode: ["OPENCODE_API_KEY"],
  "opencode-go": ["OPENCODE_API_KEY"],
  openrouter: ["OPENROUTER_API_KEY"],
  radius: ["RADIUS_API_KEY"],
  together: ["TOGETHER_API_KEY"],
  "vercel-ai-gateway": ["AI_GATEWAY_API_KEY"],
  xai: ["XAI_API_KEY"],
  zai: ["ZAI_API_KEY"],
  "zai-coding-cn": ["ZAI_CODING_CN_API_KEY"],
};

/** The variables of which a provider needs one, if none is set; empty if it has a key, or takes it in a way that we don't know. */
export function missingKey(provider: string, environment: Environment): readonly string[] {
  const variables = KEY_VARIABLES[provider] ?? [];
  return variables.some((name) => isSet(environment, name)) ? [] : variables;
}

/** Providers other than Anthropic whose key is set, each with the variable. */
export function providersWithKey(environment: Environment): Array<{ provider: string; variable: string }> {
  return Object.entries(KEY_VARIABLES).flatMap(([provider, variables]) => {
    const variable = variables.find((name) => isSet(environment, name));
    return provider === "anthropic" || variable === undefined ? [] : [{ provider, variable }];
  });
}

function isSet(environment: Environment, name: string): boolean {
  return (environment[name] ?? "") !== "";
}
