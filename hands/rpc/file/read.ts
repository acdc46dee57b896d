import { translateError } from "@serverless-harness/kit/paths/path-error";
import { readRange } from "../../files/read.ts";
import { FileValidation } from "./checks.ts";
import { type FileDeps, type FileRpc, readableRoots } from "./deps.ts";

export function read(deps: FileDeps): FileRpc<"read"> {
  return async function* ({ workspace, path, offset, length, ifMatch }) {
    const valid = new FileValidation();
    valid.workspace("workspace", workspace);
    valid.path("path", path);
    valid.range("offset", offset, 0, Number.MAX_SAFE_INTEGER);
    valid.range("length", length, 0, Number.MAX_SAFE_INTEGER);
    valid.etag("if_match", ifMatch);
    valid.done();
    try {
      yield* readRange(readableRoots(deps, workspace), { path, offset: Number(offset), length: Number(length), ifMatch });
    } catch (error) {
      throw translateError(error, path);
    }
  };
}
