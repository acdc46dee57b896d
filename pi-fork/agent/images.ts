import { Code } from "@connectrpc/connect";
import type { Api, ImageContent, Model } from "@earendil-works/pi-ai";
import { HarnessError } from "@serverless-harness/kit/errors";

/** A picture that goes with a prompt. */
export interface Picture {
  /** As `image/png`. */
  readonly mediaType: string;
  readonly data: Uint8Array;
}

/**
 * The pictures as the model gets them. INVALID_ARGUMENT `images_not_supported` if it takes none: left out, it would answer as if nobody had
 * shown it anything.
 */
export function imagesFor(model: Model<Api>, pictures: readonly Picture[]): ImageContent[] {
  if (pictures.length > 0 && !model.input.includes("image")) {
    const message = `the model ${model.provider}/${model.id} takes no pictures: choose one that does, or send text only`;
    throw new HarnessError(Code.InvalidArgument, "images_not_supported", message);
  }
  return pictures.map(({ mediaType, data }) => ({ type: "image", mimeType: mediaType, data: Buffer.from(data).toString("base64") }));
}
