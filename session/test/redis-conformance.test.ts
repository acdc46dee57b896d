import { describe, test } from "vitest";
import { leafStoreConformance } from "../testing/index.ts";
import { redisServer } from "../testing/redis-vitest.ts";
import { redisFixture } from "./redis-fixture.ts";

const server = redisServer();

for (const partitions of [1, 16]) {
  const cases = leafStoreConformance(() => redisFixture(server().freshUrl(`partitions=${partitions}`)));
  for (const group of new Set(cases.map((each) => each.group))) {
    describe(`a leaf store on Redis in ${partitions} partitions: ${group}`, () => {
      for (const each of cases.filter((candidate) => candidate.group === group)) test(each.name, () => each.run());
    });
  }
}
