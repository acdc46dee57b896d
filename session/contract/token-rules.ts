import { Validation } from "@serverless-harness/kit/validate";
import type { Token } from "@serverless-harness/proto/leaf";

/** Expired tokens that adding another one forgets at the most: more than are added, so that none stay. */
export const FORGOTTEN_AT_ONCE = 16;

/** Throw INVALID_ARGUMENT that names every field of a token that is out of its limits. */
export function checkToken({ tokenId, tenant, subject, createdBy }: Token): void {
  const validation = new Validation();
  validation.characters("token.token_id", tokenId, 1, 128);
  validation.line("token.token_id", tokenId);
  validation.characters("token.tenant", tenant, 1, 128);
  checkPerson(validation, "token.subject", subject, 1);
  checkPerson(validation, "token.created_by", createdBy, 0);
  validation.done();
}

/** Throw INVALID_ARGUMENT where the name of who revokes a token is out of its limits. */
export function checkRevokedBy(revokedBy: string): void {
  const validation = new Validation();
  checkPerson(validation, "revoked_by", revokedBy, 0);
  validation.done();
}

function checkPerson(validation: Validation, field: string, name: string, least: number): void {
  validation.characters(field, name, least, 256);
  validation.line(field, name);
}
