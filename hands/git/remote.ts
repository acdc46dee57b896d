import { isIP } from "node:net";
import type { AddressRule } from "@serverless-harness/kit/address-rule";
import { type Protocol, SSH_COMMAND } from "./git-settings.ts";
import type { LocalRepositories, LocalRepository } from "./local-repositories.ts";
import type { Repository } from "./source.ts";

/** A repository that git may be told to fetch from. Dispose it. */
export interface Remote extends Disposable {
  /** What git is told. */
  readonly address: string;
  readonly protocol: Protocol;
  /** Settings of git for it. */
  readonly settings: readonly string[];
  /** Options of the commands that speak to it. */
  readonly options: readonly string[];
  /** What git inherits, from {@link FIRST_DESCRIPTOR} on. */
  readonly descriptors: readonly number[];
}

/** Number of the first descriptor that a git process inherits beside the usual three. */
const FIRST_DESCRIPTOR = 3;

/** What decides which repositories may be reached. */
export interface RemoteAccess {
  readonly local: LocalRepositories;
  readonly addresses: AddressRule;
  /** A proxy makes the connections to https hosts, and finds their addresses. */
  readonly proxied: boolean;
}

/** A redirect may lead to any host: whoever asks names the address that it leads to. */
const NO_REDIRECTS = "http.followRedirects=false";
const HTTPS_PORT = "443";
const SSH_PORT = "22";

/**
 * Make a repository one that git can be told of. A local one is checked now, and git gets what was checked by its
 * open directories instead of a path. Of another one the host is checked, and git connects to an address that was
 * checked, whatever the name stands for a moment later. Throws what {@link LocalRepositories.open} and {@link
 * AddressRule.addresses} throw.
 */
export async function openRemote(repository: Repository, access: RemoteAccess, signal?: AbortSignal): Promise<Remote> {
  if (repository.protocol === "file") return localRemote(await access.local.open(repository.url, signal));
  const settings = await addressSettings(repository, access);
  const { url: address, protocol } = repository;
  return { address, protocol, settings, options: [], descriptors: [], [Symbol.dispose]: () => undefined };
}

async function addressSettings({ url, protocol }: Repository, { addresses, proxied }: RemoteAccess): Promise<string[]> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  if (proxied && protocol === "https") {
    addresses.checkName(host);
    return [NO_REDIRECTS];
  }
  const found = await addresses.addresses(host);
  if (protocol === "https") {
    const list = found.map(({ address, family }) => (family === 6 ? `[${address}]` : address)).join(",");
    return [NO_REDIRECTS, ...(isIP(host) === 0 ? [`http.curloptResolve=${host}:${port || HTTPS_PORT}:${list}`] : [])];
  }
  const alias = port === "" || port === SSH_PORT ? host : `[${host}]:${port}`;
  return [`core.sshCommand=${SSH_COMMAND} -oHostName=${found[0]?.address ?? host} -oHostKeyAlias='${alias}'`];
}

function localRemote(opened: LocalRepository): Remote {
  const handles = [opened.gitDir, ...opened.alternates];
  const [address = "", ...alternates] = handles.map((_handle, index) => `/proc/self/fd/${FIRST_DESCRIPTOR + index}`);
  return {
    address,
    protocol: "file",
    settings: [],
    options: [`--upload-pack=${uploadPack(alternates)}`],
    descriptors: handles.map(({ fd }) => fd),
    [Symbol.dispose]: () => opened[Symbol.dispose](),
  };
}

/**
 * What gives a local repository away, as a command of the shell. Git clears its own settings for it. It may belong to
 * another user than the daemon's: an operator named it, and git runs nothing that such a repository configures.
 * Objects that it borrows are found though their paths may be others here.
 */
function uploadPack(alternates: readonly string[]): string {
  const git = "git -c 'safe.directory=*' -c protocol.allow=never upload-pack";
  return alternates.length === 0 ? git : `GIT_ALTERNATE_OBJECT_DIRECTORIES=${alternates.join(":")} ${git}`;
}
