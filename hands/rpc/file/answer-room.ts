import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { BatchResultSchema, type ReadResponseSchema } from "@serverless-harness/proto/hands";

type Result = NonNullable<MessageInitShape<typeof BatchResultSchema>["result"]>;
type ReadAnswer = MessageInitShape<typeof ReadResponseSchema>;

/** Room for the descriptions and errors of all operations, which are never refused: bytes beside the limit. */
const DESCRIPTION_BYTES = 64 * 1024;

/** What is left of a batch's answer. */
export class AnswerRoom {
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
