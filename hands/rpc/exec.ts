import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Logger } from "@serverless-harness/kit/log";
import { Validation } from "@serverless-harness/kit/validate";
import { type ExecEvent, type Exec as ExecMessage, ExecSchema, type ExecService } from "@serverless-harness/proto/hands";
import type { Channels } from "../channel/channel.ts";
import { endedMessage } from "../exec/end.ts";
import { EndNotices, type NoticeAddresses } from "../exec/end-notices.ts";
import type { Exec } from "../exec/exec.ts";
import type { Execs } from "../exec/execs.ts";
import { Follower } from "../exec/follower.ts";
import { readCapture } from "../exec/output-capture.ts";
import { validateAttach, validateNamed, validateNotice, validateRun, validateSignal } from "../exec/validate.ts";
import type { CaptureRecord } from "../journal/record.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

/** What the exec RPCs need. */
export interface ExecDeps {
  readonly execs: Execs;
  readonly channels: Channels;
  /** Where ends may be told. */
  readonly noticeAddresses: NoticeAddresses;
  readonly log: Logger;
}

/** The RPCs of `harness.hands.v1.ExecService`. */
export function execService({ execs, channels, noticeAddresses, log }: ExecDeps): ServiceImpl<typeof ExecService> {
  const notices = new EndNotices(log);
  return {
    channel: (requests, { signal }) => channels.serve(requests, signal),

    async *run(request, { signal }) {
      const spec = validateRun(request);
      const { exec, attached } = await execs.run(spec);
      const capture = spec.capture === undefined ? undefined : readCapture(spec.capture);
      const options = { fromOffset: Number(request.fromOffset), capture, attached, signal };
      for await (const event of eventsOf(exec, options)) yield { event };
    },

    async *attach(request, { signal }) {
      validateAttach(request);
      const exec = await execs.findOwned(request.workspace, request.execId, request.epoch);
      const capture = request.capture === undefined ? exec.intent.capture : readCapture(request.capture);
      const options = { fromOffset: Number(request.fromOffset), capture, attached: true, signal };
      for await (const event of eventsOf(exec, options)) yield { event };
    },

    async signal(request) {
      const name = validateSignal(request);
      const { workspace, execId, epoch } = request;
      if (request.cancel) await execs.cancel(workspace, execId, epoch);
      else await execs.signal(workspace, execId, epoch, name);
      return {};
    },

    async notifyEnd(request) {
      const url = validateNotice(request);
      noticeAddresses.check(url);
      notices.add(await execs.findOwned(request.workspace, request.execId, request.epoch), url, request.body);
      return {};
    },

    async get(request) {
      validateNamed(request);
      return { exec: execMessage(await execs.get(request.workspace, request.execId)) };
    },

    async list(request) {
      const validation = new Validation();
      validation.workspace("workspace", request.workspace);
      validation.range("page_size", request.pageSize, 0, MAX_PAGE);
      validation.check("page_token", /^(\d{1,15})?$/.test(request.pageToken), "must come from an earlier answer");
      validation.done();
      // A page continues before the last exec of the previous one, so new execs don't shift it.
      const before = request.pageToken === "" ? Number.POSITIVE_INFINITY : Number(request.pageToken);
      const found = await execs.list(request.workspace, { runningOnly: request.runningOnly, before });
      const page = found.slice(0, request.pageSize || DEFAULT_PAGE);
      const last = page.at(-1);
      const nextPageToken = last === undefined || page.length === found.length ? "" : String(last.intent.seq);
      return { execs: page.map(execMessage), nextPageToken };
    },
  };
}

/** How a stream of events reads an exec. */
interface EventOptions {
  readonly fromOffset: number;
  readonly capture: CaptureRecord | undefined;
  readonly attached: boolean;
  /** The client is gone. */
  readonly signal: AbortSignal;
}

/** The events of an exec until its end, as fast as they are taken. */
async function* eventsOf(exec: Exec, { signal, ...reading }: EventOptions): AsyncGenerator<ExecEvent> {
  let news = Promise.withResolvers<void>();
  const wake = (): void => news.resolve();
  const follower = new Follower(exec, { ...reading, credit: Number.POSITIVE_INFINITY, wake });
  signal.addEventListener("abort", wake, { once: true });
  try {
    while (!signal.aborted && !follower.done) {
      news = Promise.withResolvers<void>();
      const event = follower.poll();
      if (event === undefined) await news.promise;
      else yield event;
    }
  } finally {
    signal.removeEventListener("abort", wake);
    follower.close();
  }
}

function execMessage(exec: Exec): ExecMessage {
  return create(ExecSchema, {
    execId: exec.id,
    workspace: exec.workspace,
    commandPreview: exec.intent.preview,
    pid: BigInt(exec.pid),
    startedAtMs: BigInt(exec.startedAtMs),
    totalBytes: BigInt(exec.output.total),
    firstOffset: BigInt(exec.output.first),
    ...(exec.end === undefined ? {} : { ended: endedMessage(exec.end) }),
  });
}
