import { describe, expect, it } from 'vitest';
import { generateTaskId } from '../../../src/client/generated-id.ts';
import {
  bounded,
  MAX_SHOWN_PROBLEMS,
  MAX_TASKS_PER_SUBMIT,
  readTasks,
  type TaskOverrides,
} from '../../../src/client/task-input.ts';
import { ID_PATTERN } from '../../../src/task/id.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const LIMITS = { maxTaskBytes: 1024 };

function read(files: Record<string, string>, overrides: TaskOverrides = {}) {
  const sources = Object.entries(files).map(([name, text]) => ({ name, bytes: Buffer.from(text) }));
  return readTasks(sources, overrides, LIMITS);
}

function tasks(files: Record<string, string>, overrides: TaskOverrides = {}): Record<string, string> {
  const input = read(files, overrides);
  if (!input.ok) throw new Error(JSON.stringify(input.problems));
  return Object.fromEntries(input.tasks.map(({ taskId, content }) => [taskId, Buffer.from(content).toString()]));
}

function problems(files: Record<string, string>, overrides: TaskOverrides = {}): string[] {
  const input = read(files, overrides);
  return input.ok ? [] : input.problems.map(({ name, message }) => `${name} ${message}`);
}

describe('what is submitted', () => {
  it('keeps the bytes of a file that is right', () => {
    const text = '{\n   "task_id": "a",   "script": "x"}';
    expect(tasks({ 'whatever.json': text })).toEqual({ a: text });
  });

  it('takes one task a line, blank lines and the carriage returns of others', () => {
    const text = '{"task_id":"a","script":"x"}\r\n\n{"task_id":"b","command":["x"]}\n';
    expect(Object.keys(tasks({ 'standard input': text }))).toEqual(['a', 'b']);
    expect(Object.keys(tasks({ 'one.jsonl': '{"task_id":"a","script":"x"}' }))).toEqual(['a']);
  });

  it('names every problem at once, with its line', () => {
    const lines = '{"task_id":"a","script":"x"}\n{"task_id":"B"}\n{oops\n{"task_id":"c","script":"x","x":1}\n';
    const found = problems({ 'tasks.jsonl': lines, 'other.json': '{"script":"x"}', 'empty.json': ' ' });
    expect(found).toEqual([
      expect.stringMatching(/^tasks\.jsonl:2 task_id: must be 1 to 63/),
      expect.stringMatching(/^tasks\.jsonl:2 script: is missing/),
      expect.stringMatching(/^tasks\.jsonl:3 the file is not JSON/),
      expect.stringMatching(/^tasks\.jsonl:4 "x" is not a field/),
      expect.stringMatching(/^other\.json task_id: is missing/),
      'empty.json holds no task',
    ]);
  });

  it('says of a broken document what is wrong with it, and of no line of it', () => {
    expect(problems({ 'a.json': '{\n  "task_id": "a",\n  "script": "x"\n' })).toEqual([
      expect.stringMatching(/^a\.json the file is not JSON/),
    ]);
  });

  it('finds names that stand twice before they get lost', () => {
    expect(problems({ a: '{"task_id":"a","script":"x","script":"y"}' }, { priority: 'low' })).toEqual([
      'a "script" stands twice in the same object; keep one of them',
    ]);
  });

  it.each([
    ['[{"task_id":"a"}]', /is an array; write one task on each line/],
    ['"a"', /must be a JSON object/],
    [`{"task_id":"a","script":"${'x'.repeat(2000)}"}`, /the most allowed is 1024/],
    ['{"task_id":"a","script":"x","env":{"A":"é"}, "cpus": 0}', /cpus: must be a number/],
  ])('refuses %.40s', (text, message) => {
    expect(problems({ a: text })).toEqual([expect.stringMatching(message)]);
  });

  it('refuses an id that is given twice, wherever', () => {
    const text = '{"task_id":"a","script":"x"}';
    expect(problems({ 'a.json': text, 'b.json': text })).toEqual([
      'b.json task_id: "a" is also the id of the task in a.json',
    ]);
  });

  it('lets flags take the place of fields, and checks the result', () => {
    const made = tasks(
      { a: '{"task_id":"a","script":"x","priority":"low"}' },
      { priority: 'high', timeout_seconds: 5 },
    );
    expect(JSON.parse(made['a']!)).toEqual({ task_id: 'a', script: 'x', priority: 'high', timeout_seconds: 5 });
    expect(problems({ a: '{"task_id":"a","script":"x"}' }, { timeout_seconds: 'soon' })).toEqual([
      expect.stringMatching(/^a timeout_seconds: must be a whole number of seconds .*not "soon"/),
    ]);
  });

  it('gives one id to one task only', () => {
    expect(Object.keys(tasks({ a: '{"script":"x"}' }, { task_id: 'mine' }))).toEqual(['mine']);
    const lines = '{"task_id":"a","script":"x"}\n{"task_id":"b","script":"x"}\n';
    expect(problems({ a: lines }, { task_id: 'mine' })[0]).toBe('--id names one task, and there are 2');
  });

  it('has bounds', () => {
    const many = '{}\n'.repeat(MAX_TASKS_PER_SUBMIT + 1);
    expect(problems({ 'many.jsonl': many })).toEqual([expect.stringMatching(/at most 50000 can be submitted/)]);
    const found = Array.from({ length: 250 }, (_, index) => ({ name: String(index), message: 'm' }));
    expect(bounded(found)).toHaveLength(MAX_SHOWN_PROBLEMS + 1);
    expect(bounded(found).at(-1)?.message).toBe('and 150 more problems');
  });
});

describe('generated ids', () => {
  it('sort by time and are legal', () => {
    const clock = new ManualClock();
    const ids = Array.from({ length: 50 }, (_, index) => {
      clock.advance(index * 37_000_000);
      return generateTaskId(clock, () => '00ff00ff');
    });
    expect(ids.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(ids);
    for (const id of ids) expect(id).toMatch(ID_PATTERN);
    expect(generateTaskId(clock, () => '01')).not.toBe(generateTaskId(clock, () => '02'));
  });
});
