import { expect, test } from "vitest";
import { TokenBucket } from "../token-bucket.ts";

test("so many get through at once, and so many more each second", () => {
  const bucket = new TokenBucket(2, 3);
  expect([1, 2, 3, 4].map(() => bucket.take(5000))).toEqual([true, true, true, false]);
  expect(bucket.waitMs).toBe(500);
  expect(bucket.take(5400)).toBe(false);
  expect(bucket.waitMs).toBe(100);
  expect([bucket.take(5500), bucket.take(5500)]).toEqual([true, false]);
  // A long silence saves up no more than the bucket holds.
  expect([1, 2, 3, 4].map(() => bucket.take(900_000))).toEqual([true, true, true, false]);
});
