import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";

/** A field that hands always sets. */
export function present<T>(value: T | undefined, field: string): T {
  if (value !== undefined) return value;
  throw new HarnessError(Code.Internal, "bad_answer", `hands answered without ${field}: client and daemon are of different versions`);
}
