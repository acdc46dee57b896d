import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import {
  type BatchOperation,
  BatchRequestSchema,
  BatchResultSchema,
  type FileService,
  type ReadResponseSchema,
  WriteHeaderSchema,
} from "@serverless-harness/proto/hands";
import { FileValidation } from "../files/validate.ts";
import { type FileDeps, writeFile } from "./file-changes.ts";

type Calls = ServiceImpl<typeof FileService>;
type Operation = BatchOperation["operation"];
type Result = NonNullable<MessageInitShape<typeof BatchResultSchema>["result"]>;
type ReadAnswer = MessageInitShape<typeof ReadResponseSchema>;

/** Room for the descriptions and errors of all operations, which are never refused: bytes beside the limit. */
const DESCRIPTION_BYTES = 64 * 1024;

/** The calls that a batch is made of. */
type BatchedCalls = Pick<Calls, "stat" | "read" | "edit" | "list" | "mkdir" | "move" | "remove">;

/** Whose files, and on whose behalf. */
interface Owner {
  readonly workspace: string;
  readonly epoch: bigint;
}

/** Carries out each operation by the call of its own, so that it promises what that one does. */
export function batch(deps: FileDeps, calls: BatchedCalls): Calls["batch"] {
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
        "this daemon does not know the operation: use one of stat, read, write, edit, list, mkdir, move, remove",
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

/** What is left of a batch's answer. */
class AnswerRoom {
  readonly #limit: number;
  #left: number;

  /** `limit`: bytes of all answers together. */
  constructor(limit: number) {
    this.#limit = limit;
    this.#left = limit;
  }

  /**
   * Take up room for a result. What was only read and doesn't fit is RESOURCE_EXHAUSTED `answer_too_large`; what was changed is changed, so
   * of an edit the patch is left out, which its own call returns again.
   */
  fit(result: Result): Result {
    const bytes = toBinary(BatchResultSchema, create(BatchResultSchema, { result })).length;
    if (bytes <= this.#left) {
      this.#left -= bytes;
      return result;
    }
    if (result.case === "edit") return { case: "edit", value: { ...result.value, patch: "" } };
    if (bytes <= DESCRIPTION_BYTES && result.case !== "read" && result.case !== "list") return result;
    throw this.#tooLarge();
  }

  /** All of a read. It is given up as soon as it is known not to fit, before the rest is read. */
  async takeRead(answers: AsyncIterable<ReadAnswer>): Promise<ReadAnswer> {
    const pieces: Uint8Array[] = [];
    let first: ReadAnswer | undefined;
    let bytes = 0;
    for await (const answer of answers) {
      first ??= answer;
      const { data = new Uint8Array() } = answer;
      bytes += data.length;
      if (bytes > this.#left) throw this.#tooLarge();
      pieces.push(data);
    }
    return { ...first, data: pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces) };
  }

  #tooLarge(): HarnessError {
    return new HarnessError(
      Code.ResourceExhausted,
      "answer_too_large",
      `the answers of a batch hold at most ${this.#limit} bytes, and this one does not fit: read a range, list a smaller page, or use the call of its own`,
      { metadata: { limit_bytes: String(this.#limit) } },
    );
  }
}
