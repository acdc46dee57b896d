import { imageProblem } from "@serverless-harness/kit/image-header";
import { IMAGE_TYPES, imageType } from "@serverless-harness/kit/image-type";
import type { Validation } from "@serverless-harness/kit/validate";
import type { Image } from "@serverless-harness/proto/leaf";

const MAX_IMAGES = 8;
/** Of all together. */
const MAX_BYTES = 2 * 1024 * 1024;

/** Check the pictures that go with a prompt. A provider refuses a whole conversation for one that is not what it is said to be. */
export function checkImages(v: Validation, field: string, images: readonly Image[]): void {
  v.check(field, images.length <= MAX_IMAGES, `must be at most ${MAX_IMAGES} pictures`);
  const bytes = images.reduce((sum, { data }) => sum + data.length, 0);
  v.check(field, bytes <= MAX_BYTES, `must be at most ${MAX_BYTES} bytes together, not ${bytes}`);
  for (const [index, { mediaType, data }] of images.slice(0, MAX_IMAGES).entries()) {
    const known = IMAGE_TYPES.includes(mediaType);
    v.check(`${field}[${index}].media_type`, known, `must be one of ${IMAGE_TYPES.join(", ")}`);
    if (!known) continue;
    const problem = problemOf(mediaType, data);
    if (problem !== undefined) v.fail(`${field}[${index}].data`, problem);
  }
}

function problemOf(mediaType: string, data: Uint8Array): string | undefined {
  const found = imageType(data);
  if (found === mediaType) return imageProblem(data);
  return `must be the bytes of an ${mediaType} file${found === undefined ? "" : `; these are ${found}`}`;
}
