import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Only what never ends is cut off: machines differ, and are busy with other things.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
  },
});
