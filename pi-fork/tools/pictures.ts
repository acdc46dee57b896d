import type { ReadToolOptions } from "@earendil-works/pi-agent-core";
import { imageProblem } from "@serverless-harness/kit/image-header";
import { IMAGE_TYPES } from "@serverless-harness/kit/image-type";

/** Largest picture that the model is shown, in bytes: it goes with every request from then on. */
const MAX_BYTES = 2 * 1024 * 1024;

/** Pictures that are read go to the model as they are; of others it is told why it can't see them. */
export const showPicture: NonNullable<ReadToolOptions["imageProcessor"]> = async (bytes, mimeType) => {
  if (!IMAGE_TYPES.includes(mimeType)) return { ok: false, message: `[Not shown: convert it to one of ${IMAGE_TYPES.join(", ")} first]` };
  if (bytes.length > MAX_BYTES)
    return { ok: false, message: `[Not shown: it has ${bytes.length} bytes, at most ${MAX_BYTES} are shown. Make it smaller first]` };
  const problem = imageProblem(bytes);
  if (problem !== undefined) return { ok: false, message: `[Not shown: it ${problem}]` };
  return { ok: true, data: Buffer.from(bytes).toString("base64"), mimeType, hints: [] };
};
