import { describe, test } from "vitest";
import { leafStoreConformance } from "../testing/index.ts";
import { sqliteFixture } from "./fixture.ts";

const cases = leafStoreConformance(sqliteFixture);

for (const group of new Set(cases.map((each) => each.group))) {
  describe(`a leaf store on SQLite: ${group}`, () => {
    for (const each of cases.filter((candidate) => candidate.group === group)) test(each.name, () => each.run());
  });
}
