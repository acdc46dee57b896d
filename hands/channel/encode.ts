import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Encoder } from "@serverless-harness/kit/connect/duplex";
import { ChannelResponseSchema, ExecEventSchema, type Output, OutputSchema } from "@serverless-harness/proto/hands";

type ChannelResponseInit = MessageInitShape<typeof ChannelResponseSchema>;

/** Below this an event is small enough to be copied. */
const LARGE_BYTES = 4096;

const EVENT = ChannelResponseSchema.field.event.number;
const OUTPUT = ExecEventSchema.field.output.number;
const DATA = OutputSchema.field.data.number;

/** How what hands streams is written down, for {@link ServeOptions.encoders}. */
export const ENCODERS: ReadonlyMap<string, Encoder> = new Map([
  [ChannelResponseSchema.typeName, (message) => encodeResponse(message as ChannelResponseInit)],
]);

/**
 * An event with much output as it goes over the wire, in two parts of which the second is the output itself. The general way copies
 * it once for each of the messages that it lies in; here it is last in all of them. `undefined` for any other response.
 */
export function encodeResponse({ response }: ChannelResponseInit): readonly Uint8Array[] | undefined {
  if (response?.case !== "event" || response.value.event?.case !== "output") return undefined;
  const output = response.value.event.value as Output;
  if (output.data.length < LARGE_BYTES) return undefined;
  const { data } = output;
  const about = toBinary(OutputSchema, create(OutputSchema, { offset: output.offset, stream: output.stream }));
  const named = toBinary(ExecEventSchema, create(ExecEventSchema, { execId: response.value.execId ?? "" }));
  const inner = new BinaryWriter().raw(about).tag(DATA, WireType.LengthDelimited).uint32(data.length).finish();
  const outputBytes = inner.length + data.length;
  const outer = new BinaryWriter().raw(named).tag(OUTPUT, WireType.LengthDelimited).uint32(outputBytes).finish();
  const head = new BinaryWriter().tag(EVENT, WireType.LengthDelimited).uint32(outer.length + outputBytes);
  return [head.raw(outer).raw(inner).finish(), data];
}
