import { errorBody, type Reply } from "../http/reply.ts";
import type { Question } from "../questions.ts";
import type { RunAnswer } from "./answer.ts";
import type { RunFiles } from "./envelope.ts";
import type { SeedApiSettings } from "./settings.ts";

/** How `POST /runs` is answered once its run rests. */
export function runReply(answer: RunAnswer, settings: Pick<SeedApiSettings, "retryAfterS">): Reply {
  if (answer.status === "paused") {
    const { number, gate } = answer.question;
    return ok({ status: "paused", gateId: number, gate: { summary: gate.summary, proposed_action: gate.proposedAction } });
  }
  if (answer.status !== "failed") return ok(answer);
  const { status, reason, message } = answer;
  if (reason === "saturated") return saturated(settings);
  return ok(message === "" ? { status, reason } : { status, reason, message });
}

/** How a run that is read from files is answered: by where its own files are. */
export function fileReply(answer: RunAnswer, { resultRef, gateRef }: RunFiles, settings: Pick<SeedApiSettings, "retryAfterS">): Reply {
  if (answer.status === "done") return ok({ status: "done", resultRef });
  if (answer.status === "paused") return ok({ status: "paused", gateRef: gateRef || `${resultRef}.gate`, gateId: answer.question.number });
  return runReply(answer, settings);
}

/** There was no room for a run in time. It goes on as soon as there is some. */
export function saturated({ retryAfterS }: Pick<SeedApiSettings, "retryAfterS">): Reply {
  return { status: 503, headers: { "retry-after": String(retryAfterS) }, body: { status: "failed", reason: "saturated" } };
}

/** How `GET /runs/status` tells where a run stands. Less than the run's own answer: of a patch no usage, of a failure no message. */
export function statusReply(answer: RunAnswer): Reply {
  switch (answer.status) {
    case "paused":
      return ok({ status: "paused", gateId: answer.question.number, gate: gateWithId(answer.question) });
    case "solved":
      return ok({ status: "solved", patch: answer.patch });
    case "failed":
      return ok(answer.reason === "saturated" ? { status: "queued" } : { status: "failed", reason: answer.reason });
    default:
      return ok(answer);
  }
}

/** The answer to a run that is not waited for. */
export function accepted(body: Readonly<Record<string, unknown>>): Reply {
  return { status: 202, body: { status: "accepted", ...body } };
}

/** A query without a parameter that has to be there. */
export function missing(parameter: string, example: string): Reply {
  return { status: 400, body: errorBody(`${parameter}_required`, `name it in the query: ${example}`) };
}

function gateWithId({ number, gate }: Question): Record<string, unknown> {
  return { gateId: number, summary: gate.summary, proposed_action: gate.proposedAction };
}

function ok(body: Readonly<Record<string, unknown>>): Reply {
  return { status: 200, body };
}
