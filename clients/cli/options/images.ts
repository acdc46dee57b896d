import { readFile, stat } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { imageProblem } from "@serverless-harness/kit/image-header";
import { imageType } from "@serverless-harness/kit/image-type";
import { type Image, ImageSchema } from "@serverless-harness/proto/leaf";
import { CliError, ExitCode } from "../errors.ts";

/** Largest file that is read, in bytes; all pictures of a leaf together may not be larger either. */
const MAX_BYTES = 2 * 1024 * 1024;

/** The pictures in files, with the types that their bytes show. */
export async function readImages(names: readonly string[] = []): Promise<Image[]> {
  return Promise.all(names.map(readImage));
}

async function readImage(name: string): Promise<Image> {
  const info = await stat(name).catch(() => undefined);
  if (info === undefined) throw unusable(`there is no file ${name}`);
  if (!info.isFile()) throw unusable(`${name} is no file with a picture`);
  if (info.size > MAX_BYTES) throw unusable(`${name} has ${info.size} bytes: pictures may have ${MAX_BYTES} together, make it smaller`);
  const data = await readFile(name).catch(() => undefined);
  if (data === undefined) throw unusable(`${name} can't be read`);
  const mediaType = imageType(data);
  const problem = imageProblem(data);
  if (mediaType === undefined || problem !== undefined) throw unusable(`${name} ${problem}`);
  return create(ImageSchema, { mediaType, data });
}

function unusable(message: string): CliError {
  return new CliError(ExitCode.usage, "image_unusable", message);
}
