import { type Handle, openDirectory } from "./handle.ts";
import { errnoOf, type PathProblem, pathError } from "./path-error.ts";

/** A handle to the directory that a walk starts from; `problem` if it is missing or something else, a symlink included. */
export function openRoot(path: string, problem: PathProblem = "workspace_missing"): Handle {
  try {
    return openDirectory(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") throw pathError(problem, path, { cause: error });
    throw error;
  }
}
