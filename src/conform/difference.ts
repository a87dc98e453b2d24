/** The first thing in which the engine and the kernel differ, for people. */
export interface Difference {
  /** `interface`, `IPv4 time to live`, `line 5`, `exit status` */
  readonly field: string;
  /** What the kernel did or sent. */
  readonly kernel: string;
  /** What came from the engine. */
  readonly came: string;
  /** More of it: all fields that differ, both packets in full. */
  readonly details?: readonly string[];
}

/** Compares two texts line by line. */
export function differingLine(kernel: string, came: string): Difference | null {
  if (kernel === came) return null;
  const want = kernel.split('\n');
  const have = came.split('\n');
  const at = want.findIndex((line, index) => line !== have[index]);
  const line = at < 0 ? want.length : at;
  return { field: `line ${line + 1}`, kernel: want[line] ?? '(the end)', came: have[line] ?? '(the end)' };
}
