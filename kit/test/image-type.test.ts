import { expect, test } from "vitest";
import { imageType } from "../image-type.ts";

test("a picture's kind is read from its first bytes, whatever its name says", () => {
  const kinds = {
    "image/png": "89504e470d0a1a0a0000000d49484452",
    "image/jpeg": "ffd8ffe000104a46",
    "image/gif": "47494638396101000100",
    "image/webp": "524946462400000057454250565038",
  };
  for (const [type, hex] of Object.entries(kinds)) expect(imageType(Buffer.from(hex, "hex"))).toBe(type);
  expect(imageType(Buffer.from("474946383761", "hex"))).toBe("image/gif");
});

test("what is none, or is cut short, has no kind", () => {
  // A wave file is a RIFF as well.
  for (const hex of ["", "89504e47", "5249464624000000574156450000", "000000005745425000", "25504446", "424d"])
    expect(imageType(Buffer.from(hex, "hex"))).toBeUndefined();
});
