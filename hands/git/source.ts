import { isAbsolute, normalize } from "node:path";
import { invalidArgument, type Violation } from "@serverless-harness/kit/errors";
import type { Protocol } from "./git-settings.ts";
import type { LocalRepositories } from "./local-repositories.ts";

/** A repository at a ref, as a client asks for it. */
export interface GitSource {
  /**
   * `https://host/path`, `ssh://[user@]host[:port]/path` or `user@host:path`; below directories that the operator
   * named also `file:///path` or `/path`.
   */
  readonly url: string;
  /** Branch, tag, commit or full ref name. Empty: the remote's HEAD. */
  readonly ref: string;
}

/** A repository that may be asked for its content. */
export interface Repository {
  /** One text for each repository, whichever way it was written. */
  readonly url: string;
  readonly protocol: Protocol;
}

const MAX_URL_BYTES = 2048;
const MAX_REF_BYTES = 255;
const HOST = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])$/;
const USER = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
/** `user@host:path`, as ssh and scp write it. */
const SCP = /^([^@/:]+)@([^@/:]+):([^/].*)$/;

/**
 * Read a source. INVALID_ARGUMENT lists what is wrong with it: a URL of another kind, one that could be taken for an option, one that holds
 * a password or token (which would end in logs and argument lists), or a ref that git would read as an expression.
 */
export function readSource(source: GitSource, local: LocalRepositories): { repository: Repository; ref: string } {
  const violations: Violation[] = [];
  const repository = readUrl(source.url, local);
  if (typeof repository === "string") violations.push({ field: "url", description: repository });
  const problem = source.ref === "" ? undefined : refProblem(source.ref);
  if (problem !== undefined) violations.push({ field: "ref", description: problem });
  if (typeof repository === "string" || violations.length > 0) throw invalidArgument(violations);
  return { repository, ref: source.ref === "HEAD" ? "" : source.ref };
}

/** The repository, or what is wrong with the URL. */
function readUrl(url: string, local: LocalRepositories): Repository | string {
  const forms = `must be https://host/path or ssh://host/path${local.any ? ", or an absolute path or file:///path" : ""}`;
  if (Buffer.byteLength(url) > MAX_URL_BYTES) return `must be at most ${MAX_URL_BYTES} bytes`;
  if (/[\s\p{Cc}\\]/u.test(url)) return "must hold no white space, control characters or backslashes";
  if (isAbsolute(url)) return readPath(url, local);
  const scp = SCP.exec(url);
  const parsed = scp === null ? parse(url) : parse(`ssh://${scp[1]}@${scp[2]}/${scp[3]}`);
  if (parsed === undefined) return forms;
  if (parsed.search !== "" || parsed.hash !== "") return "must have neither a query nor a fragment";
  if (parsed.protocol === "file:") return parsed.host === "" ? readPath(decode(parsed.pathname), local) : forms;
  if (parsed.protocol !== "https:" && parsed.protocol !== "ssh:") return forms;
  return remote(parsed) ?? forms;
}

function remote(url: URL): Repository | string | undefined {
  const credentials = url.protocol === "https:" ? url.username !== "" || url.password !== "" : url.password !== "";
  if (credentials) return "must hold no credentials: let the sandbox's network or its own configuration provide them";
  if (url.username !== "" && !USER.test(url.username)) return "has a user that is no name";
  if (!HOST.test(url.hostname) || url.pathname.length < 2) return undefined;
  const protocol = url.protocol === "https:" ? "https" : "ssh";
  return { url: url.href.replace(/\/+$/, ""), protocol };
}

function readPath(path: string | undefined, local: LocalRepositories): Repository | string {
  if (!local.any)
    return "must be https://host/path or ssh://host/path: this sandbox clones no repository by its path (HANDS_LOCAL_REPOSITORIES)";
  if (path === undefined || path.includes("\0")) return "is no path of a file";
  const url = normalize(path).replace(/(?<=.)\/+$/, "");
  if (!local.covers(url)) return "is not below the directories whose repositories may be cloned (HANDS_LOCAL_REPOSITORIES)";
  return { url, protocol: "file" };
}

function parse(url: string): URL | undefined {
  // A URL's text that the parser mends (as `https:host`) is none that git would take.
  if (!/^[a-z]+:\/\//.test(url)) return undefined;
  return URL.canParse(url) ? new URL(url) : undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** What is wrong with a ref's name, by git's own rules; `undefined` if nothing is. */
function refProblem(ref: string): string | undefined {
  if (Buffer.byteLength(ref) > MAX_REF_BYTES) return `must be at most ${MAX_REF_BYTES} bytes`;
  if (ref.startsWith("-")) return "must not start with a dash";
  const ok =
    !/[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\/|\.$|\/$|^\//u.test(ref) && ref !== "@" && ref.split("/").every((part) => !/^\.|\.lock$/.test(part));
  return ok ? undefined : "must be the name of a branch or tag, or a commit's id, without any expression";
}
