import { defineConfig } from 'vitest/config';

// Two projects: `unit` is pure and takes seconds; `full` uses real git, real servers, a real engine and real processes.
export default defineConfig({
  test: {
    reporters: ['default', './test/support/count-reporter.ts'],
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 10_000 } },
      {
        test: {
          name: 'full',
          include: ['test/{integration,faults,abuse,e2e}/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          // Real engines and processes share two cores: one file at a time keeps the timings honest.
          fileParallelism: false,
          // Within a file, what mostly waits may do so together.
          maxConcurrency: 8,
        },
      },
    ],
  },
});
