import type { Logger } from "@serverless-harness/kit/log";
import type { Channels } from "../../channel/registry.ts";
import type { Execs } from "../../exec/execs.ts";
import type { NoticeAddresses } from "../../exec/notice-addresses.ts";

/** What the exec RPCs need. */
export interface ExecDeps {
  readonly execs: Execs;
  readonly channels: Channels;
  /** Where ends may be told. */
  readonly noticeAddresses: NoticeAddresses;
  readonly log: Logger;
}
