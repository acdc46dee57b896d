import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { listDirectory } from "../../files/list.ts";
import { FileValidation } from "./checks.ts";
import { type FileDeps, type FileRpc, readableRoots } from "./deps.ts";

const DEFAULT_PAGE_SIZE = 1000;
const MAX_PAGE_SIZE = 10_000;
const MAX_TOKEN_BYTES = 1000;

export function list(deps: FileDeps): FileRpc<"list"> {
  return ({ workspace, path, pageSize, pageToken }) => {
    const valid = new FileValidation();
    valid.workspace("workspace", workspace);
    valid.path("path", path, true);
    valid.range("page_size", pageSize, 0, MAX_PAGE_SIZE);
    valid.maxBytes("page_token", pageToken, MAX_TOKEN_BYTES);
    valid.done();
    const order = { path, pageSize: pageSize || DEFAULT_PAGE_SIZE, pageToken };
    return aboutPath(path, async () => {
      const page = await listDirectory(readableRoots(deps, workspace), order);
      return { files: [...page.files], nextPageToken: page.nextPageToken };
    });
  };
}
