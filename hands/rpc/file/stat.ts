import { locateExisting } from "@serverless-harness/kit/paths/locate";
import { aboutPath } from "@serverless-harness/kit/paths/path-error";
import { describe } from "../../fs/file-info.ts";
import { FileValidation } from "./checks.ts";
import { type FileDeps, type FileRpc, readableRoots } from "./deps.ts";

export function stat(deps: FileDeps): FileRpc<"stat"> {
  return ({ workspace, path, follow }) => {
    const valid = new FileValidation();
    valid.workspace("workspace", workspace);
    valid.path("path", path);
    valid.done();
    return aboutPath(path, () => {
      using location = locateExisting(readableRoots(deps, workspace), path, { follow });
      return { file: describe(location.entry.stat(), follow ? location.resolvedPath : location.path) };
    });
  };
}
