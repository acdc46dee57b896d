import { Code, type ServiceImpl } from "@connectrpc/connect";
import { HarnessError } from "@serverless-harness/kit/errors";
import { Validation } from "@serverless-harness/kit/validate";
import type { WebhookService } from "@serverless-harness/proto/leaf";
import type { LeafStore, Notice } from "@serverless-harness/session";
import type { Audit } from "../audit/audit.ts";
import { callerOf, owns, requireScope, tenantFor } from "../callers/caller.ts";
import { checkLeafId, pageSize } from "../query.ts";
import { messageId } from "../webhooks/message.ts";
import { readProgress, revived, writeProgress } from "../webhooks/progress.ts";

/** The RPCs of WebhookService. */
export function webhookRpcs(
  store: Pick<LeafStore, "deadNotices" | "deadNotice" | "reviveNotice">,
  audit: Audit,
): ServiceImpl<typeof WebhookService> {
  return {
    listDeadLetters: async (request, context) => {
      const caller = callerOf(context);
      requireScope(caller, "leaves:read");
      const v = new Validation();
      if (request.tenant !== "") v.name("tenant", request.tenant);
      const limit = pageSize(v, request.pageSize);
      v.done();
      const tenant = tenantFor(caller, "tenant", request.tenant);
      const { notices, nextPageToken = "" } = await store.deadNotices(tenant, limit, request.pageToken || undefined);
      return { deadLetters: notices.map(deadLetterOf), nextPageToken };
    },
    resend: async ({ leafId, seq }, context) => {
      const caller = callerOf(context);
      requireScope(caller, "leaves:submit");
      const v = new Validation();
      checkLeafId(v, leafId);
      v.check("seq", seq > 0n, "must be set: ListDeadLetters returned it");
      v.done();
      return await audit.act(caller, { action: "webhook.resend", leaf_id: leafId, event_seq: Number(seq) }, async () => {
        const notice = await store.deadNotice(leafId, seq);
        if (notice !== undefined && owns(caller, notice.tenant)) {
          const note = writeProgress(revived(readProgress(notice.note)));
          if (await store.reviveNotice(leafId, seq, note)) return {};
        }
        throw new HarnessError(Code.NotFound, "dead_letter_not_found", "there is no dead letter of this leaf and place: list them first");
      });
    },
  };
}

function deadLetterOf({ leafId, seq, note }: Notice) {
  const deliveries = Object.entries(readProgress(note)).map(([target, { attempts, error = "", end }]) => ({
    target,
    attempts,
    error,
    delivered: end === "delivered",
  }));
  return { leafId, seq, webhookId: messageId(leafId, seq), deliveries };
}
