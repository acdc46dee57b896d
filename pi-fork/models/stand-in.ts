import { createProvider, type Provider } from "@earendil-works/pi-ai";
import { anthropicMessagesApi } from "@earendil-works/pi-ai/api/anthropic-messages.lazy";

const TOKEN = "STAND_IN_API_KEY";
/** Nobody listens there: the gateway's variable says where the stand-in does. */
const NOWHERE = "http://127.0.0.1:9";

/** The scripted stand-in, under its own name: what it says is no language model's, and costs nothing. It speaks Anthropic's API. */
export function standInProvider(): Provider {
  return createProvider({
    id: "stand-in",
    name: "Scripted stand-in",
    baseUrl: NOWHERE,
    auth: {
      apiKey: {
        name: "Any token",
        async resolve({ ctx }) {
          const apiKey = await ctx.env(TOKEN);
          return apiKey ? { auth: { apiKey }, source: TOKEN } : undefined;
        },
      },
    },
    models: [
      {
        id: "scripted",
        name: "Scripted stand-in",
        api: "anthropic-messages",
        provider: "stand-in",
        baseUrl: NOWHERE,
        reasoning: true,
        input: ["text", "image"],
        cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
        contextWindow: 1_000_000,
        maxTokens: 64_000,
      },
    ],
    api: anthropicMessagesApi(),
  });
}
