import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";

/** A message as a column holds it; NULL where there is none. */
export function toBlob<T extends DescMessage>(schema: T, message: MessageShape<T> | undefined): Uint8Array | null {
  return message === undefined ? null : toBinary(schema, message);
}
