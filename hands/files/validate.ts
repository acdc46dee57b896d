import { pathBytes } from "@serverless-harness/kit/paths/shown-name";
import { Validation } from "@serverless-harness/kit/validate";

/** Bytes of the longest path that Linux takes. */
const MAX_PATH_BYTES = 4096;
const MAX_NAME_BYTES = 255;
const MAX_GLOB_BYTES = 1000;
const MAX_ETAG_BYTES = 200;

/** Checks of the fields that file requests share. */
export class FileValidation extends Validation {
  /** A path that has to be there; `""` is allowed if it stands for the workspace itself. */
  path(field: string, value: string, allowEmpty: boolean = false): void {
    this.check(field, allowEmpty || value !== "", "must not be empty: `.` is the workspace itself");
    this.check(field, !value.includes("\0"), "must not hold a NUL character");
    this.check(field, Buffer.byteLength(pathBytes(value)) <= MAX_PATH_BYTES, `must be at most ${MAX_PATH_BYTES} bytes`);
    const long = value.split("/").some((name) => Buffer.byteLength(pathBytes(name)) > MAX_NAME_BYTES);
    this.check(field, !long, `must not hold a name longer than ${MAX_NAME_BYTES} bytes`);
  }

  glob(field: string, value: string): void {
    this.check(field, !value.includes("\0"), "must not hold a NUL character");
    this.maxBytes(field, value, MAX_GLOB_BYTES);
  }

  etag(field: string, value: string): void {
    this.maxBytes(field, value, MAX_ETAG_BYTES);
  }

  change(request: { readonly changeId: string; readonly workspace: string; readonly epoch: bigint }): void {
    this.id("change_id", request.changeId);
    this.owner(request);
  }
}
