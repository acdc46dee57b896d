/** How git may reach other repositories. */
export type Protocol = "https" | "ssh" | "file";

/** How git starts ssh: it never asks anybody, and gives up on a connection that stalls. */
export const SSH_COMMAND = "ssh -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=15 -oServerAliveCountMax=2";

/**
 * Settings of every git process. They go before what a repository's own configuration says, though no configuration but the daemon's own is
 * ever read: none of the user's, none of the system's, and none that a command could have written, since git is never run on a workspace.
 */
const SETTINGS: readonly string[] = [
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "core.attributesFile=/dev/null",
  "core.excludesFile=/dev/null",
  "core.askPass=",
  "core.pager=cat",
  // Deltas of large files cost much memory and seldom save anything.
  "core.bigFileThreshold=16m",
  "credential.helper=",
  "safe.directory=*",
  "gc.auto=0",
  "maintenance.auto=false",
  "submodule.recurse=false",
  "fetch.recurseSubmodules=false",
  // What is fetched or written becomes a pack, never many single files.
  "fetch.unpackLimit=1",
  "transfer.unpackLimit=1",
  "fastimport.unpackLimit=0",
  "pack.threads=1",
  // A connection that stalls for half a minute is given up.
  "http.lowSpeedLimit=1000",
  "http.lowSpeedTime=30",
  `core.sshCommand=${SSH_COMMAND}`,
  "protocol.allow=never",
];

/** Variables that go before all others. Git reads no file that they don't name. */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_ATTR_NOSYSTEM: "1",
  GIT_TERMINAL_PROMPT: "0",
  GIT_ASKPASS: "/bin/false",
  SSH_ASKPASS: "/bin/false",
  GIT_OPTIONAL_LOCKS: "0",
  GIT_NO_REPLACE_OBJECTS: "1",
  GIT_NO_LAZY_FETCH: "1",
  GIT_AUTHOR_NAME: "harness",
  GIT_AUTHOR_EMAIL: "harness",
  GIT_COMMITTER_NAME: "harness",
  GIT_COMMITTER_EMAIL: "harness",
  // Equal trees make equal commits.
  GIT_AUTHOR_DATE: "@0 +0000",
  GIT_COMMITTER_DATE: "@0 +0000",
  // No home: neither its configuration nor its .netrc.
  HOME: "/nonexistent",
  XDG_CONFIG_HOME: "/nonexistent",
  LC_ALL: "C",
  TZ: "UTC",
};

/** Options that go before git's subcommand. */
export function globalOptions(gitDir: string | undefined, protocols: readonly Protocol[]): string[] {
  const settings = [...SETTINGS, ...protocols.map((protocol) => `protocol.${protocol}.allow=always`)];
  return [
    ...settings.flatMap((setting) => ["-c", setting]),
    "--no-pager",
    "--literal-pathspecs",
    ...(gitDir === undefined ? [] : [`--git-dir=${gitDir}`]),
  ];
}

/** The whole environment of a git process; `further` are an operator's variables, as a proxy's. */
export function gitEnvironment(path: string, further: Readonly<Record<string, string>>): Record<string, string> {
  return { ...further, PATH: path, ...ENVIRONMENT };
}
