/**
 * The connections of one real server, counted over several tables: each shard keeps its own, and thresholds are about
 * all of them together. Absent where there is one table.
 */
export interface SharedLoad {
  /** This table has so many connections more, or fewer. */
  add(step: 1 | -1): void;
  /** Those of all tables. */
  total(): number;
}
