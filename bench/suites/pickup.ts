/** How soon what was pushed begins to run. */
import { createHmac } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../test/support/free-port.ts';
import { git } from '../../test/support/git.ts';
import { type EngineBench, engineBench, followTask, type SeenTask, TASK_BOUND_MS } from '../frame/engine-bench.ts';
import { atMost, type Figure, figure } from '../frame/figure.ts';
import type { Lab, Suite } from '../frame/suite.ts';
import type { BenchWorker } from '../frame/worker.ts';

const POLL_INTERVAL_MS = 1_000;
const SECRET = 'secret of the benchmark';
const BRANCH = 'refs/heads/main';

export const pickup: Suite = {
  name: 'pickup',
  title: 'from git push to output and result',
  method:
    'A worker process with PULL_INTERVAL=1 and otherwise the defaults of a first start, on a real container engine, image ' +
    'busybox. A commit with one task file is pushed with git at a random moment of the poll interval, while the grid is at ' +
    'rest. From the end of git push until the first byte of the task’s output comes out of the engine’s socket, and until ' +
    'the worker knows that its result stands in the repository. In turns without a nudge and with one: then a signed ' +
    'webhook call follows the push at once, as a Git host would send it.',
  aim: 'nudged p50 ≤ 250 ms to the first byte',
  boundMinutes: 30,
  run,
};

interface Times {
  firstByte: number[];
  result: number[];
}

async function run(lab: Lab): Promise<Figure[]> {
  const rounds = lab.size(3, 100);
  const bench = await engineBench(lab);
  const port = await freePort();
  const worker = await bench.startWorker('worker', {
    PULL_INTERVAL: String(POLL_INTERVAL_MS / 1000),
    HEARTBEAT_INTERVAL: '60',
    RECORD_DELAY: '0',
    HTTP_PORT: String(port),
    WEBHOOK_SECRET: SECRET,
  });
  const person = await Person.create(lab, bench, worker);
  const polled: Times = { firstByte: [], result: [] };
  const nudged: Times = { firstByte: [], result: [] };
  await person.pushOne(null);
  for (let round = 0; round < rounds; round += 1) {
    if (round % 10 === 0) lab.tell(`round ${round} of ${rounds}`);
    add(polled, await person.pushOne(null));
    add(nudged, await person.pushOne((tip) => nudge(port, tip)));
  }
  const half = { name: 'half the poll interval', value: POLL_INTERVAL_MS / 2, samples: 1 };
  return [
    figure({ name: 'git push → first byte', unit: 'ms', values: polled.firstByte, baseline: half }),
    figure({ name: 'git push → result readable', unit: 'ms', values: polled.result, baseline: half }),
    figure({
      name: 'git push → first byte, nudged',
      unit: 'ms',
      values: nudged.firstByte,
      baseline: half,
      aim: atMost(250, 'p50 ≤ 250 ms'),
    }),
    figure({ name: 'git push → result readable, nudged', unit: 'ms', values: nudged.result, baseline: half }),
  ];
}

function add(times: Times, { pushedMs, seen }: { pushedMs: number; seen: SeenTask }): void {
  times.firstByte.push(seen.firstByteMs - pushedMs);
  times.result.push(seen.acknowledgedMs - pushedMs);
}

/** Somebody with a clone who pushes tasks. */
class Person {
  readonly #clone: string;
  readonly #bench: EngineBench;
  readonly #worker: BenchWorker;
  #tasks = 0;

  private constructor(clone: string, bench: EngineBench, worker: BenchWorker) {
    this.#clone = clone;
    this.#bench = bench;
    this.#worker = worker;
  }

  static async create(lab: Lab, bench: EngineBench, worker: BenchWorker): Promise<Person> {
    const clone = lab.directory.sub('person');
    await git(lab.directory.path, ['clone', '--quiet', bench.url, clone]);
    return new Person(clone, bench, worker);
  }

  /** @param afterwards is given the commit that was pushed. */
  async pushOne(afterwards: ((tip: string) => Promise<void>) | null): Promise<{ pushedMs: number; seen: SeenTask }> {
    this.#tasks += 1;
    const id = `pushed-${this.#tasks}`;
    await git(this.#clone, ['pull', '--quiet', '--ff-only']);
    const queue = join(this.#clone, 'tasks/queue');
    await mkdir(queue, { recursive: true });
    await writeFile(join(queue, `${id}.json`), `${JSON.stringify({ task_id: id, script: `echo says-${id}` })}\n`);
    await git(this.#clone, ['add', '--all']);
    await git(this.#clone, ['commit', '--quiet', '--message', `Queue ${id}`]);
    const tip = await git(this.#clone, ['rev-parse', 'HEAD']);
    await pause(Math.random() * POLL_INTERVAL_MS);
    const seen = followTask(this.#worker, this.#bench.tap, id);
    const recorded = this.#worker.next('result.recorded', TASK_BOUND_MS);
    await git(this.#clone, ['push', '--quiet', 'origin', `HEAD:${BRANCH}`]);
    const pushedMs = performance.now();
    await afterwards?.(tip);
    const found = await seen;
    // The branch is at rest again before anything else is pushed.
    await recorded;
    return { pushedMs, seen: found };
  }
}

/** As GitHub does it. @throws Error when the worker does not take it */
async function nudge(port: number, tip: string): Promise<void> {
  const body = JSON.stringify({ ref: BRANCH, after: tip });
  const signature = createHmac('sha256', SECRET).update(body).digest('hex');
  const answer = await fetch(`http://127.0.0.1:${port}/hooks/push`, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'X-GitHub-Event': 'push',
      'X-Hub-Signature-256': `sha256=${signature}`,
    },
    body,
  });
  if (!answer.ok) throw new Error(`the worker answers ${answer.status} to a webhook call: ${await answer.text()}`);
}
