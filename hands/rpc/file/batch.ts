import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, type HandlerContext } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { type BatchOperation, BatchRequestSchema, type BatchResultSchema, WriteHeaderSchema } from "@serverless-harness/proto/hands";
import { AnswerRoom } from "./answer-room.ts";
import { FileValidation } from "./checks.ts";
import type { FileDeps, FileRpc } from "./deps.ts";
import { writeFile } from "./write.ts";

type Operation = BatchOperation["operation"];
type Result = NonNullable<MessageInitShape<typeof BatchResultSchema>["result"]>;

/** The calls that a batch is made of. */
export type BatchedCalls = { readonly [Name in "stat" | "read" | "edit" | "list" | "mkdir" | "move" | "remove"]: FileRpc<Name> };

/** Whose files, and on whose behalf. */
interface Owner {
  readonly workspace: string;
  readonly epoch: bigint;
}

/** Carries out each operation by the call of its own, so that it promises what that one does. */
export function batch(deps: FileDeps, calls: BatchedCalls): FileRpc<"batch"> {
  return async (request, context) => {
    const { workspace, epoch, operations, stopOnError } = request;
    const { batchOperations, batchBytes } = deps.limits;
    const valid = new FileValidation();
    valid.owner(request);
    const fits = operations.length >= 1 && operations.length <= batchOperations;
    valid.check("operations", fits, `must be 1 to ${batchOperations}: split what is more into several batches`);
    valid.done();
    if (toBinary(BatchRequestSchema, request).length > batchBytes) throw batchTooLarge(batchBytes);
    deps.workspaces.find(workspace);
    const room = new AnswerRoom(batchBytes);
    const results: Array<{ result: Result }> = [];
    for (const [index, { operation }] of operations.entries()) {
      if (context.signal.aborted) throw new HarnessError(Code.Canceled, "cancelled", "the caller has gone");
      const result = await outcome(async () => {
        checkOwner(operation, index, { workspace, epoch });
        return room.fit(await carryOut(deps, calls, operation, { workspace, epoch }, room, context));
      });
      results.push({ result });
      if (!stopOnError || result.case !== "error") continue;
      for (const _ of operations.slice(index + 1)) results.push({ result: errorResult(notRun(index)) });
      break;
    }
    return { results };
  };
}

async function carryOut(
  deps: FileDeps,
  calls: BatchedCalls,
  operation: Operation,
  owner: Owner,
  room: AnswerRoom,
  context: HandlerContext,
): Promise<Result> {
  switch (operation.case) {
    case "stat":
      return { case: "stat", value: await calls.stat({ ...operation.value, ...owner }, context) };
    case "read":
      return { case: "read", value: await room.takeRead(calls.read({ ...operation.value, ...owner }, context)) };
    case "write": {
      const { header = create(WriteHeaderSchema), data } = operation.value;
      return { case: "write", value: await writeFile(deps, { ...header, ...owner }, [data]) };
    }
    case "edit":
      return { case: "edit", value: await calls.edit({ ...operation.value, ...owner }, context) };
    case "list":
      return { case: "list", value: await calls.list({ ...operation.value, ...owner }, context) };
    case "mkdir":
      return { case: "mkdir", value: await calls.mkdir({ ...operation.value, ...owner }, context) };
    case "move":
      return { case: "move", value: await calls.move({ ...operation.value, ...owner }, context) };
    case "remove":
      return { case: "remove", value: await calls.remove({ ...operation.value, ...owner }, context) };
    default:
      throw new HarnessError(
        Code.Unimplemented,
        "unknown_operation",
        "the operation is none that this daemon knows: name one of stat, read, write, edit, list, mkdir, move, remove",
      );
  }
}

/** What fails for a reason that its caller can be told is the operation's result. A defect fails the batch, as it would fail the call. */
async function outcome(run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof HarnessError) return errorResult(error);
    throw error;
  }
}

function errorResult({ code, reason, message, metadata }: HarnessError): Result {
  return { case: "error", value: { code, reason, message, metadata: { ...metadata } } };
}

/** An operation that names another workspace or epoch than its batch is refused: only the batch's were checked against the token. */
function checkOwner(operation: Operation, index: number, owner: Owner): void {
  const named: Partial<Owner> = (operation.case === "write" ? operation.value.header : operation.value) ?? {};
  const field = `operations[${index}].${operation.case ?? "operation"}`;
  const valid = new FileValidation();
  const { workspace = "", epoch = 0n } = named;
  valid.check(`${field}.workspace`, workspace === "" || workspace === owner.workspace, "must be left out, or be the batch's");
  valid.check(`${field}.epoch`, epoch === 0n || epoch === owner.epoch, "must be left out, or be the batch's");
  valid.done();
}

function notRun(failed: number): HarnessError {
  return new HarnessError(Code.Aborted, "not_run", `operation ${failed} failed before this one, and stop_on_error is set`);
}

function batchTooLarge(limit: number): HarnessError {
  return new HarnessError(
    Code.ResourceExhausted,
    "batch_too_large",
    `the operations hold more than ${limit} bytes: split them into several batches, and write large files by Write`,
    { metadata: { limit_bytes: String(limit) } },
  );
}
