import { defineConfig } from 'vitest/config';

/** Real git, real servers, a real engine, real processes. */
const WHOLE = {
  testTimeout: 120_000,
  hookTimeout: 180_000,
  // Within a file, what mostly waits may do so together.
  maxConcurrency: 8,
};

/** What measures how much a worker takes, or how soon it does a thing. */
const MEASURES = [
  'test/{faults,abuse}/**/*.test.ts',
  'test/e2e/{follow,nudges}.test.ts',
  'test/e2e/browser/live.test.ts',
  'test/integration/{bench,docker-weight}.test.ts',
];

// One group of projects after the other, from 1 on: what has no group of its own and one worker comes last. `unit` is pure and takes seconds. Of what is left most waits most of the time, so two
// files at a time are too much for no machine; what measures has it to itself.
export default defineConfig({
  test: {
    reporters: ['default', './test/support/count-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 10_000,
          maxWorkers: '100%',
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...WHOLE,
          name: 'whole',
          include: ['test/{integration,e2e}/**/*.test.ts'],
          exclude: MEASURES,
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: { ...WHOLE, name: 'alone', include: MEASURES, fileParallelism: false, sequence: { groupOrder: 3 } },
      },
    ],
  },
});
