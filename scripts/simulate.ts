import { simulate } from '../test/simulation/simulation.ts';

const from = Number(process.argv[2] ?? 1),
  n = Number(process.argv[3] ?? 10),
  trace = process.argv[4] === 'trace';
const t = performance.now();
let ev = 0,
  bad = 0,
  starts = 0;
const rules: Record<string, number[]> = {};
let maxSettle = 0;
for (let s = from; s < from + n; s++) {
  const o = await simulate(s, trace ? console.log : undefined);
  ev += o.events;
  starts += o.figures.starts;
  maxSettle = Math.max(maxSettle, o.settledAfterMs ?? 0);
  if (o.violations.length) {
    bad++;
    for (const v of o.violations) (rules[v.rule] ??= []).push(s);
    if (bad <= 5 || trace) console.log('seed', s, o.violations.slice(0, 4));
  }
}
const ms = performance.now() - t;
console.log(
  { n, bad, ms, perSecond: n / (ms / 1000), ev, starts, maxSettle },
  Object.fromEntries(Object.entries(rules).map(([k, v]) => [k, [new Set(v).size, [...new Set(v)].slice(0, 8)]])),
);
