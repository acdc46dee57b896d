import { type DescMethod, isMessage } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Operation } from "@serverless-harness/kit/hands-claims";
import {
  BatchRequestSchema,
  ExecService,
  FileService,
  IdentityService,
  TerminalService,
  WorkspaceService,
} from "@serverless-harness/proto/hands";

/** What a token must be for; `any`: every token that this sandbox takes will do. */
type Needed = Operation | "any";

/** Every RPC of a service needs an entry, or this file does not compile. */
type OperationsOf<Rpcs> = Readonly<Record<keyof Rpcs, Needed>>;

const EXEC: OperationsOf<ServiceImpl<typeof ExecService>> = {
  channel: "exec",
  run: "exec",
  attach: "exec",
  signal: "exec",
  notifyEnd: "exec",
  get: "exec",
  list: "exec",
};

const FILE: OperationsOf<ServiceImpl<typeof FileService>> = {
  stat: "files.read",
  read: "files.read",
  list: "files.read",
  find: "files.read",
  grep: "files.read",
  watch: "files.read",
  // What changes something in a batch needs `files.write` too.
  batch: "files.read",
  write: "files.write",
  edit: "files.write",
  mkdir: "files.write",
  move: "files.write",
  remove: "files.write",
};

const IDENTITY: OperationsOf<ServiceImpl<typeof IdentityService>> = {
  // It tells nothing of any workspace.
  describe: "any",
};

const TERMINAL: OperationsOf<ServiceImpl<typeof TerminalService>> = {
  open: "terminal",
  attach: "terminal",
  write: "terminal",
  resize: "terminal",
  screen: "terminal",
  list: "terminal",
  close: "terminal",
};

const WORKSPACE: OperationsOf<ServiceImpl<typeof WorkspaceService>> = {
  create: "workspaces",
  list: "workspaces.list",
  diff: "workspaces",
  snapshot: "workspaces",
  restore: "workspaces",
  delete: "workspaces",
};

const BY_SERVICE: Readonly<Record<string, Readonly<Record<string, Needed>>>> = {
  [ExecService.typeName]: EXEC,
  [FileService.typeName]: FILE,
  [IdentityService.typeName]: IDENTITY,
  [TerminalService.typeName]: TERMINAL,
  [WorkspaceService.typeName]: WORKSPACE,
};

/** Operations of a batch that change nothing. */
const READS: ReadonlySet<string | undefined> = new Set(["stat", "read", "list"]);

/** A second operation that the token must be for, because of what this message holds. */
export function furtherOperationOf(message: object): Operation | undefined {
  if (!isMessage(message, BatchRequestSchema)) return undefined;
  return message.operations.every(({ operation }) => READS.has(operation.case)) ? undefined : "files.write";
}

/** What a token must be for to call an RPC; `undefined` for an RPC that isn't hands' own. */
export function operationOf(method: DescMethod): Needed | undefined {
  return BY_SERVICE[method.parent.typeName]?.[method.localName];
}
