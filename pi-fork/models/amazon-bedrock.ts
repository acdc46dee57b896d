import { setBedrockProviderModule } from "@earendil-works/pi-ai/api/bedrock-converse-stream.lazy";
import { lazyApi } from "@earendil-works/pi-ai/api/lazy";
import { amazonBedrockProvider } from "@earendil-works/pi-ai/providers/amazon-bedrock";

/** Amazon Bedrock, whose API pi-ai hides from bundlers: named here, it is in the bundle, and loaded with the first request all the same. */
export function bedrockProvider(): ReturnType<typeof amazonBedrockProvider> {
  setBedrockProviderModule(lazyApi(async () => (await import("@earendil-works/pi-ai/bedrock-provider")).bedrockProviderModule));
  return amazonBedrockProvider();
}
