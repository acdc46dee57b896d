import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { BatchOperationSchema, BatchResult, FileService } from "@serverless-harness/proto/hands";
import type { BatchOutcome, BatchStep } from "./batch-types.ts";
import { present } from "./present.ts";
import type { Retry } from "./retry.ts";

type Operation = NonNullable<MessageInitShape<typeof BatchOperationSchema>["operation"]>;

/** Whose files. */
export interface BatchOwner {
  readonly workspace: string;
  readonly epoch: bigint;
}

/** Carry out operations in one round trip. Repeated as a whole where hands can't be reached: what changed does not change again. */
export async function runBatch(
  client: Client<typeof FileService>,
  retry: Retry,
  owner: BatchOwner,
  steps: readonly BatchStep[],
  stopOnError: boolean,
): Promise<BatchOutcome[]> {
  const operations = steps.map(operationOf);
  const { results } = await retry(() => client.batch({ ...owner, operations, stopOnError }));
  return steps.map((_, index) => outcomeOf(present(results[index], "results")));
}

function operationOf(step: BatchStep): { operation: Operation } {
  switch (step.kind) {
    case "stat":
      return { operation: { case: "stat", value: fieldsOf(step) } };
    case "read": {
      const { offset = 0, length = 0, ...value } = fieldsOf(step);
      return { operation: { case: "read", value: { ...value, offset: BigInt(offset), length: BigInt(length) } } };
    }
    case "write": {
      const { data, ...header } = fieldsOf(step);
      return { operation: { case: "write", value: { header, data } } };
    }
    case "edit": {
      const { edits, ...value } = fieldsOf(step);
      return { operation: { case: "edit", value: { ...value, edits: [...edits] } } };
    }
    case "list":
      return { operation: { case: "list", value: fieldsOf(step) } };
    case "mkdir":
      return { operation: { case: "mkdir", value: fieldsOf(step) } };
    case "move":
      return { operation: { case: "move", value: fieldsOf(step) } };
    case "remove":
      return { operation: { case: "remove", value: fieldsOf(step) } };
  }
}

function fieldsOf<Step extends BatchStep>({ kind: _, ...value }: Step): Omit<Step, "kind"> {
  return value;
}

function outcomeOf({ result }: BatchResult): BatchOutcome {
  if (result.case === "error") {
    const { code, reason, message, metadata } = result.value;
    return { case: "error", value: new HarnessError(code, reason, message, { metadata }) };
  }
  present(result.case, "result");
  return result as Exclude<typeof result, { case: undefined }>;
}
