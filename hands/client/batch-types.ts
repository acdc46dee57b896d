import type { HarnessError } from "@serverless-harness/kit/errors";
import type { BatchResult } from "@serverless-harness/proto/hands";

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
