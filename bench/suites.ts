/** All suites, in the order in which they run. */
import type { Suite } from './frame/suite.ts';
import { budget } from './suites/budget.ts';
import { clone } from './suites/clone.ts';
import { contention } from './suites/contention.ts';
import { filter } from './suites/filter.ts';
import { follow } from './suites/follow.ts';
import { footprint } from './suites/footprint.ts';
import { ledger } from './suites/ledger.ts';
import { pickup } from './suites/pickup.ts';
import { poll } from './suites/poll.ts';
import { scale } from './suites/scale.ts';
import { start } from './suites/start.ts';
import { throughput } from './suites/throughput.ts';

export const SUITES: readonly Suite[] = [
  poll,
  clone,
  ledger,
  contention,
  start,
  filter,
  pickup,
  throughput,
  budget,
  follow,
  scale,
  footprint,
];
