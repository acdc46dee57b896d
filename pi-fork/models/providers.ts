import type { Provider } from "@earendil-works/pi-ai";

/**
 * Every provider of pi-ai and the scripted stand-in, loaded when a model of it is asked for: together they take longer to load than all the rest of a brain.
 * Written out, so that a bundler sees them.
 */
const LOADERS: Readonly<Record<string, () => Promise<Provider>>> = {
  "amazon-bedrock": () => import("./amazon-bedrock.ts").then((module) => module.bedrockProvider()),
  "ant-ling": () => import("@earendil-works/pi-ai/providers/ant-ling").then((module) => module.antLingProvider()),
  anthropic: () => import("@earendil-works/pi-ai/providers/anthropic").then((module) => module.anthropicProvider()),
  "azure-openai-responses": () =>
    import("@earendil-works/pi-ai/providers/azure-openai-responses").then((module) => module.azureOpenAIResponsesProvider()),
  baseten: () => import("@earendil-works/pi-ai/providers/baseten").then((module) => module.basetenProvider()),
  cerebras: () => import("@earendil-works/pi-ai/providers/cerebras").then((module) => module.cerebrasProvider()),
  "cloudflare-ai-gateway": () =>
    import("@earendil-works/pi-ai/providers/cloudflare-ai-gateway").then((module) => module.cloudflareAIGatewayProvider()),
  "cloudflare-workers-ai": () =>
    import("@earendil-works/pi-ai/providers/cloudflare-workers-ai").then((module) => module.cloudflareWorkersAIProvider()),
  deepseek: () => import("@earendil-works/pi-ai/providers/deepseek").then((module) => module.deepseekProvider()),
  fireworks: () => import("@earendil-works/pi-ai/providers/fireworks").then((module) => module.fireworksProvider()),
  "github-copilot": () => import("@earendil-works/pi-ai/providers/github-copilot").then((module) => module.githubCopilotProvider()),
  google: () => import("@earendil-works/pi-ai/providers/google").then((module) => module.googleProvider()),
  "google-vertex": () => import("@earendil-works/pi-ai/providers/google-vertex").then((module) => module.googleVertexProvider()),
  groq: () => import("@earendil-works/pi-ai/providers/groq").then((module) => module.groqProvider()),
  huggingface: () => import("@earendil-works/pi-ai/providers/huggingface").then((module) => module.huggingfaceProvider()),
  "kimi-coding": () => import("@earendil-works/pi-ai/providers/kimi-coding").then((module) => module.kimiCodingProvider()),
  meta: () => import("@earendil-works/pi-ai/providers/meta").then((module) => module.metaProvider()),
  minimax: () => import("@earendil-works/pi-ai/providers/minimax").then((module) => module.minimaxProvider()),
  "minimax-cn": () => import("@earendil-works/pi-ai/providers/minimax-cn").then((module) => module.minimaxCnProvider()),
  mistral: () => import("@earendil-works/pi-ai/providers/mistral").then((module) => module.mistralProvider()),
  moonshotai: () => import("@earendil-works/pi-ai/providers/moonshotai").then((module) => module.moonshotaiProvider()),
  "moonshotai-cn": () => import("@earendil-works/pi-ai/providers/moonshotai-cn").then((module) => module.moonshotaiCnProvider()),
  nvidia: () => import("@earendil-works/pi-ai/providers/nvidia").then((module) => module.nvidiaProvider()),
  openai: () => import("@earendil-works/pi-ai/providers/openai").then((module) => module.openaiProvider()),
  "openai-codex": () => import("@earendil-works/pi-ai/providers/openai-codex").then((module) => module.openaiCodexProvider()),
  opencode: () => import("@earendil-works/pi-ai/providers/opencode").then((module) => module.opencodeProvider()),
  "opencode-go": () => import("@earendil-works/pi-ai/providers/opencode-go").then((module) => module.opencodeGoProvider()),
  openrouter: () => import("@earendil-works/pi-ai/providers/openrouter").then((module) => module.openrouterProvider()),
  "qwen-token-plan": () => import("@earendil-works/pi-ai/providers/qwen-token-plan").then((module) => module.qwenTokenPlanProvider()),
  "qwen-token-plan-cn": () =>
    import("@earendil-works/pi-ai/providers/qwen-token-plan-cn").then((module) => module.qwenTokenPlanCnProvider()),
  "qwen-token-plan-individual": () =>
    import("@earendil-works/pi-ai/providers/qwen-token-plan-individual").then((module) => module.qwenTokenPlanIndividualProvider()),
  radius: () => import("@earendil-works/pi-ai/providers/radius").then((module) => module.radiusProvider()),
  "stand-in": () => import("./stand-in.ts").then((module) => module.standInProvider()),
  together: () => import("@earendil-works/pi-ai/providers/together").then((module) => module.togetherProvider()),
  "vercel-ai-gateway": () => import("@earendil-works/pi-ai/providers/vercel-ai-gateway").then((module) => module.vercelAIGatewayProvider()),
  xai: () => import("@earendil-works/pi-ai/providers/xai").then((module) => module.xaiProvider()),
  xiaomi: () => import("@earendil-works/pi-ai/providers/xiaomi").then((module) => module.xiaomiProvider()),
  "xiaomi-token-plan-ams": () =>
    import("@earendil-works/pi-ai/providers/xiaomi-token-plan-ams").then((module) => module.xiaomiTokenPlanAmsProvider()),
  "xiaomi-token-plan-cn": () =>
    import("@earendil-works/pi-ai/providers/xiaomi-token-plan-cn").then((module) => module.xiaomiTokenPlanCnProvider()),
  "xiaomi-token-plan-sgp": () =>
    import("@earendil-works/pi-ai/providers/xiaomi-token-plan-sgp").then((module) => module.xiaomiTokenPlanSgpProvider()),
  zai: () => import("@earendil-works/pi-ai/providers/zai").then((module) => module.zaiProvider()),
  "zai-coding-cn": () => import("@earendil-works/pi-ai/providers/zai-coding-cn").then((module) => module.zaiCodingCnProvider()),
};

/** Ids of the providers, sorted. */
export const PROVIDER_IDS: readonly string[] = Object.keys(LOADERS).sort();

/** A new instance of a provider; `undefined` if there is none of that id. */
export async function loadProvider(id: string): Promise<Provider | undefined> {
  return Object.hasOwn(LOADERS, id) ? LOADERS[id]?.() : undefined;
}
