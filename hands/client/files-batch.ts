import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import type { BatchOperationSchema, BatchResult, FileService } from "@serverless-harness/proto/hands";
import { present, type Retry } from "./retry.ts";

/** What every changing operation carries; it happens once per `changeId`. */
interface Changing {
  readonly changeId: string;
}

/** An operation of a batch; see the method of its name. */
export type BatchStep =
  | { readonly kind: "stat"; readonly path: string; readonly follow?: boolean }
  | { readonly kind: "read"; readonly path: string; readonly offset?: number; readonly length?: number; readonly ifMatch?: string }
  | ({
      readonly kind: "write";
      readonly path: string;
      readonly data: Uint8Array;
      readonly ifMatch?: string;
      readonly mode?: number;
      readonly append?: boolean;
    } & Changing)
  | ({
      readonly kind: "edit";
      readonly path: string;
      readonly edits: ReadonlyArray<{ readonly oldText: string; readonly newText: string }>;
      readonly ifMatch?: string;
    } & Changing)
  | { readonly kind: "list"; readonly path: string; readonly pageSize?: number; readonly pageToken?: string }
  | ({ readonly kind: "mkdir"; readonly path: string; readonly recursive?: boolean } & Changing)
  | ({ readonly kind: "move"; readonly source: string; readonly destination: string } & Changing)
  | ({ readonly kind: "remove"; readonly path: string; readonly recursive?: boolean; readonly missingOk?: boolean } & Changing);

/** What became of an operation: the answer of its own call (`case`, `value`), or its error. */
export type BatchOutcome =
  | Exclude<BatchResult["result"], { case: "error" | undefined }>
  | { readonly case: "error"; readonly value: HarnessError };

type Operation = NonNullable<MessageInitShape<typeof BatchOperationSchema>["operation"]>;

/** Whose files. */
interface BatchOwner {
  readonly workspace: string;
  readonly epoch: bigint;
}

/** Carry out operations in one round trip. Repeated as a whole if hands can't be reached: what changed does not change again. */
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
